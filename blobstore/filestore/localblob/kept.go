// Records that were read lately: to read a sidecar and to decode it costs more than a small object itself.

package localblob

import (
	"io/fs"
	"sync"
	"time"
)

const (
	maxKept = 4096 // records, of some 500 bytes each

	// Of a file that was deleted and made again within a tick of the clock, both may look the same. A version that is
	// older than this can't be taken for one that comes after it.
	settled = time.Second
)

// keptRecords are the records of versions of objects. A version's record never changes, so that it need not be read
// again as long as the data file is that version. They are shared by all readers and never changed.
type keptRecords struct {
	mu sync.RWMutex
	m  map[string]keptRecord
}

type keptRecord struct {
	fi fs.FileInfo // of the data file
	r  record
}

// get gives the record of the data file name if it is the version fi.
func (k *keptRecords) get(name string, fi fs.FileInfo) (record, bool) {
	k.mu.RLock()
	c := k.m[name]
	k.mu.RUnlock()
	return c.r, c.fi != nil && sameVersion(c.fi, fi)
}

// put keeps the record that names the version fi.
func (k *keptRecords) put(name string, fi fs.FileInfo, r record) {
	if r.Tag == nil || time.Since(fi.ModTime()) < settled {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil {
		k.m = make(map[string]keptRecord)
	}
	if _, ok := k.m[name]; !ok && len(k.m) >= maxKept {
		for other := range k.m { // any
			delete(k.m, other)
			break
		}
	}
	k.m[name] = keptRecord{fi, r}
}
