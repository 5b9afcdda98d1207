// Walks that wait for the next page to be asked for. Without them, each page of a large folder would read and sort the
// whole folder again.

package localblob

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	idLen     = 26          // bytes of rand.Text
	maxParked = 16          // walks, of listings that were left unfinished or are slow
	parkedFor = time.Minute // then a walk reads its folders again, so as not to miss what was added
)

// parkingLot keeps a few walks for a short time. A page token names the walk it belongs to, so a listing never goes on
// with what another one has read.
type parkingLot struct {
	mu    sync.Mutex
	walks []parkedWalk // oldest first
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
		l.walks = append(l.walks[:0], l.walks[1:]...)
	}
	l.walks = append(l.walks, parkedWalk{id: id, since: time.Now(), walk: w})
	return id
}

// take gives the walk with this id, if it is still parked and belongs to the same listing.
func (l *parkingLot) take(id, prefix, delimiter string) *walk {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	for i, p := range l.walks {
		if p.id == id && p.walk.prefix == prefix && p.walk.delimiter == delimiter {
			l.walks = append(l.walks[:i], l.walks[i+1:]...)
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
	l.walks = append(l.walks[:0], l.walks[n:]...)
}
