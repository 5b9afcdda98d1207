package audit

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// newUUIDv7 generates a time-ordered UUID (RFC 9562, section 5.7, with method 3
// of section 6.2: the 12 bits after the milliseconds are a fraction of a
// millisecond). It is implemented here because this package imports only the
// standard library.
func newUUIDv7() string { return uuidv7At(time.Now()) }

func uuidv7At(t time.Time) string {
	var u [16]byte
	rand.Read(u[8:])
	ns := uint64(t.UnixNano())
	ms, rest := ns/1e6, ns%1e6
	binary.BigEndian.PutUint64(u[:8], ms<<16|7<<12|rest*4096/1e6)
	u[8] = u[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], u[0:4])
	hex.Encode(s[9:13], u[4:6])
	hex.Encode(s[14:18], u[6:8])
	hex.Encode(s[19:23], u[8:10])
	hex.Encode(s[24:36], u[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// uuidAfter generates a UUID that is greater than last. Usually it is a new
// UUID. It is the successor of last if both have the same time to a quarter of
// a microsecond, or if the clock was set back.
func uuidAfter(last string) string {
	if id := newUUIDv7(); id > last {
		return id
	}
	const digits = "0123456789abcdef"
	next := []byte(last)
	for i := len(next) - 1; i > 19; i-- { // the random part after the variant
		if next[i] == '-' {
			continue
		}
		if next[i] != 'f' {
			next[i] = digits[strings.IndexByte(digits, next[i])+1]
			break
		}
		next[i] = '0'
	}
	return string(next)
}

// isUUID reports whether s is a UUID in its hyphenated, lowercase form.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
