//go:build !unix

package tus

import "os"

// lockFile does nothing: outside Unix, the application must ensure that only
// one process uses a folder.
func lockFile(*os.File) error { return nil }

func syncDir(string) error { return nil }
