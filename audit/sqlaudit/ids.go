package sqlaudit

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// entryIDs mints the ids of a writer's entries: UUIDv7 (RFC 9562, section 5.7,
// with method 3 of 6.2) that ascend with the entries' numbers, also while the
// clock stands or is set back. They are made from the time that the entries say
// themselves, so that a clock that is wrong is wrong in one way.
type entryIDs struct {
	last uint64 // in 4096ths of a millisecond since 1970
}

// next mints an id for an entry of that time from 8 random bytes.
func (m *entryIDs) next(at time.Time, random []byte) string {
	ns := uint64(at.UnixNano())
	m.last = max(m.last+1, ns/1e6<<12|ns%1e6*4096/1e6)
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], m.last>>12<<16|7<<12|m.last&0xfff)
	copy(id[8:], random)
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
