//go:build !unix

package filestore

import "os"

// Without file locks, a live writer cannot be distinguished from a dead one.
// Temporary files of a crash remain until an operator removes them.

func holdLive(*os.File) (release func(), err error) { return func() {}, nil }

func removeDead(string, func(string) error) (removed bool, err error) { return false, nil }
