//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

// Reading a folder, where there is no quicker way than the standard one.

package localblob

import (
	"io/fs"
	"os"
)

func readDir(d *os.File) ([]fs.DirEntry, error) { return d.ReadDir(-1) }
