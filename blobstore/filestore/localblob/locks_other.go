//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

// This file replaces flock on systems without it. Only the goroutines of one
// process are ordered. A temporary file of a dead process cannot be recognized.

package localblob

import (
	"errors"
	"os"
)

const openFlags = os.O_RDONLY

func flock(_ *os.File, wait bool) error {
	if wait {
		return nil
	}
	return errors.ErrUnsupported
}

// removed returns false. Without flock, no sweeper removes temporary files.
func removed(*os.File) (bool, error) { return false, nil }
