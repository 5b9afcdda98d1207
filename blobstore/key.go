package blobstore

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/internal/keyrule"
)

// NewKey returns a fresh key for a file that a client named filename, such as
// "invoices/6f1c…_Rechnung März.pdf" for the prefix "invoices": a random UUID
// keeps it unique and unguessable, the safe form of the name keeps it readable.
// The prefix may be empty or hold several segments; a slash at its end is
// ignored. Whether it makes a valid key is checked when the key is used.
func NewKey(prefix, filename string) string {
	key := uuid.NewString() + "_" + keyrule.SafeName(filename)
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		key = prefix + "/" + key
	}
	return key
}

// CheckKey returns nil if key is valid on every backend, and otherwise an error
// that wraps [ErrInvalidKey] and says why not.
//
// A key is UTF-8 in normal form NFC, of 1 to 1,024 bytes, its segments between
// slashes of 1 to 200 bytes. Refused are empty segments, "." and "..", a leading
// slash, backslashes, control, bidirectional and invisible characters, and what
// some backend would alias with another key: segments that end in a dot or
// begin or end with a space, the suffix ".attrs", "__0x", the names of local
// temporary files (".", 16 hexadecimal digits, ".tmp" at the end), and
// ".blobtrail" as the first segment.
func CheckKey(key string) error {
	if err := keyrule.Check(key); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidKey, err)
	}
	return nil
}
