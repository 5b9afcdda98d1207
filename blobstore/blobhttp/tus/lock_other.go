//go:build !unix

package tus

import "os"

// Elsewhere it is up to the host that one process alone uses a folder.
func lockFile(*os.File) error { return nil }

func syncDir(string) error { return nil }
