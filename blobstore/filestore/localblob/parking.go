// Walks that wait for the next page to be asked for. Without them, each page of a large folder would read and sort the
// whole folder again.

package localblob

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

const (
	idLen     = 26          // bytes of rand.Text
	maxParked = 64          // walks: more listings than these at a time read their folders anew for each page
	parkedFor = time.Minute // then a walk reads its folders again, so as not to miss what was added
)

// parkingLot keeps a few walks for a short time. A page token names the walk it belongs to, so a listing never goes on
// with what another one has read.
type parkingLot struct {
	mu      sync.Mutex
	walks   []parkedWalk // oldest first
	watched bool         // watch will be called
}

type parkedWalk struct {
	id    string
	since time.Time
	walk  *walk
}

// put parks w and gives its id.
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

// watch frees the memory of listings that nobody goes on with.
func (l *parkingLot) watch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	if l.watched = len(l.walks) > 0; l.watched {
		time.AfterFunc(parkedFor, l.watch)
	}
}

// take gives the walk with this id, if it is still parked and belongs to the same listing.
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

// drop forgets the walks whose time is over.
func (l *parkingLot) drop() {
	n := 0
	for n < len(l.walks) && time.Since(l.walks[n].since) > parkedFor {
		n++
	}
	l.walks = slices.Delete(l.walks, 0, n)
}
