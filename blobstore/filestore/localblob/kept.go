// This file caches records. Reading and decoding a sidecar costs more than
// reading a small object.

package localblob

import (
	"io/fs"
	"sync"
	"time"
)

const (
	maxKept = 4096 // maximum number of records, of about 500 bytes each

	// settled is the minimum age of a cached version. If a file is deleted and
	// created again within one tick of the clock, both versions may look the
	// same. A version older than settled cannot be confused with a later one.
	settled = time.Second
)

// keptRecords caches the records of object versions. The record of a version
// never changes, so it stays valid while the data file is the same version. All
// readers share the records and must not change them.
type keptRecords struct {
	mu sync.RWMutex
	m  map[string]keptRecord
}

type keptRecord struct {
	fi fs.FileInfo // of the data file
	r  record
}

// get returns the record of the data file name if it belongs to the version fi.
func (k *keptRecords) get(name string, fi fs.FileInfo) (record, bool) {
	k.mu.RLock()
	c := k.m[name]
	k.mu.RUnlock()
	return c.r, c.fi != nil && sameVersion(c.fi, fi)
}

// put caches the record of the version fi.
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
		for other := range k.m { // any one
			delete(k.m, other)
			break
		}
	}
	k.m[name] = keptRecord{fi, r}
}
