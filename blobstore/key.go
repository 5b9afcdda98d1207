package blobstore

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/internal/keyrule"
)

// NewKey returns a new key for a file that a client named filename. For the
// prefix "invoices" it is similar to "invoices/6f1c…_Rechnung März.pdf". A
// random UUID makes the key unique and hard to guess, and a safe form of the
// name keeps it readable.
//
// The prefix may be empty or have several segments. A slash at its end is
// ignored. NewKey does not validate the prefix: an invalid key is reported by
// the operation that uses it.
func NewKey(prefix, filename string) string {
	key := uuid.NewString() + "_" + keyrule.SafeName(filename)
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		key = prefix + "/" + key
	}
	return key
}

// CheckKey returns nil if key is valid on every backend. Otherwise it returns
// an error that wraps [ErrInvalidKey] and gives the reason.
//
// A key is valid UTF-8 in normalization form NFC and has 1 to 1,024 bytes.
// Slashes separate its segments of 1 to 200 bytes each. The following are not
// allowed:
//
//   - empty segments, "." and "..", and a leading slash
//   - backslashes, and control, bidirectional and invisible characters
//   - segments that end in a dot, or that begin or end with a space
//   - the suffix ".attrs", and "__0x"
//   - the names of local temporary files: ".", 16 hexadecimal digits, and
//     ".tmp" at the end
//   - ".blobtrail" as the first segment
//
// The last four rules exclude keys that some backend would confuse with
// another key or with a private file.
func CheckKey(key string) error {
	if err := keyrule.Check(key); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidKey, err)
	}
	return nil
}
