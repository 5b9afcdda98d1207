// Locks of keys: they order the short commit phase of writers and deleters of one key, in this process and others.

package localblob

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"sync"
)

// stripes is the number of lock files that all keys share. It is part of the layout: every process must agree on it.
const stripes = 256

type locks [stripes]sync.Mutex

// lock locks the key whose file is name until unlock is called. The mutex comes first so that goroutines of one
// process do not each block a thread in flock.
func (b *bucket) lock(name string) (unlock func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(name))
	i := h.Sum32() % stripes
	b.locks[i].Lock()

	file := fmt.Sprintf("%s/%02x", lockDir, i)
	open := func() (*os.File, error) {
		return b.fs.root.OpenFile(file, os.O_RDWR|os.O_CREATE, b.opts.FileMode)
	}
	f, err := open()
	if errors.Is(err, fs.ErrNotExist) {
		if err = b.fs.mkdirs(lockDir, b.opts.DirMode); err == nil {
			f, err = open()
		}
	}
	if err == nil {
		if err = flock(f, true); err != nil {
			f.Close()
		}
	}
	if err != nil {
		b.locks[i].Unlock()
		return nil, err
	}
	return func() {
		f.Close() // releases the flock
		b.locks[i].Unlock()
	}, nil
}
