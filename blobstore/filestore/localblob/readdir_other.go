//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

// This file reads folders in the standard way, on systems without a faster one.

package localblob

import (
	"io/fs"
	"os"
)

func readDir(d *os.File) ([]fs.DirEntry, error) { return d.ReadDir(-1) }
