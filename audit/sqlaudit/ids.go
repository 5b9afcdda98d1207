package sqlaudit

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// entryIDs generates the IDs of a writer's entries. They are UUIDv7 values (RFC
// 9562, section 5.7, with method 3 of section 6.2) that ascend with seq, even
// if the clock stops or is set back. An ID is derived from the created_at of
// its entry, so the two always agree.
type entryIDs struct {
	last uint64 // in 1/4096 of a millisecond since 1970
}

// next generates an ID for an entry created at this time from 8 random bytes.
func (m *entryIDs) next(at time.Time, random []byte) string {
	ns := uint64(at.UnixNano())
	m.last = max(m.last+1, ns/1e6<<12|ns%1e6*4096/1e6)
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], m.last>>12<<16|7<<12|m.last&0xfff)
	copy(id[8:], random)
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
