//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

// Without flock only the goroutines of one process are ordered, and no temporary file can be told to be dead.

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

// removed: without flock no sweeper removes a temporary file.
func removed(*os.File) (bool, error) { return false, nil }
