// This file parks walks between pages. Otherwise each page of a large folder
// would read and sort the whole folder again.

package localblob

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

const (
	idLen     = 26          // bytes of rand.Text
	maxParked = 64          // maximum number of walks; if exceeded, the oldest listing reads its folders again for its next page
	parkedFor = time.Minute // afterwards the folders are read again, to include new objects
)

// parkingLot holds a few walks for a short time. A page token contains the ID
// of its walk, so a listing never continues with the names of another one.
type parkingLot struct {
	mu      sync.Mutex
	walks   []parkedWalk // oldest first
	watched bool         // a call of watch is scheduled
}

type parkedWalk struct {
	id    string
	since time.Time
	walk  *walk
}

// put parks w and returns its ID.
func (l *parkingLot) put(w *walk) (id string) {
	id = rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	if len(l.walks) == maxParked {
		l.walks = slices.Delete(l.walks, 0, 1)
	}
	l.walks = append(l.walks, parkedWalk{id: id, since: time.Now(), walk: w})
	if !l.watched {
		l.watched = true
		time.AfterFunc(parkedFor, l.watch)
	}
	return id
}

// watch frees the memory of abandoned listings.
func (l *parkingLot) watch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	if l.watched = len(l.walks) > 0; l.watched {
		time.AfterFunc(parkedFor, l.watch)
	}
}

// take returns the walk with this ID, if it is still parked and belongs to the
// same listing.
func (l *parkingLot) take(id, prefix, delimiter string) *walk {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	for i, p := range l.walks {
		if p.id == id && p.walk.prefix == prefix && p.walk.delimiter == delimiter {
			l.walks = slices.Delete(l.walks, i, i+1)
			return p.walk
		}
	}
	return nil
}

// drop removes the walks that have been parked for too long.
func (l *parkingLot) drop() {
	n := 0
	for n < len(l.walks) && time.Since(l.walks[n].since) > parkedFor {
		n++
	}
	l.walks = slices.Delete(l.walks, 0, n)
}
