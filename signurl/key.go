package signurl

// This file implements keys. Package secret keeps the secret out of all printed
// text.

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/blobtrail/blobtrail/secret"
)

const (
	minSecret = 32   // in bytes: the length of the MAC
	maxSecret = 1024 // in bytes
	maxKeyID  = 32   // in bytes: shorter than any encoded secret, so that a misplaced secret is refused

	redacted = "[redacted]"
)

// Key is a secret that signs links. Links contain the ID of their key.
//
// [GenerateKey], [NewKey] and [ParseKeys] create keys. [New] refuses the zero
// Key. A Key prints as its ID and "[redacted]", however it is printed, logged
// or marshaled. Only [Key.Encode] reveals the secret. Keys cannot be compared;
// compare the results of Encode.
type Key struct {
	// ID identifies the key that signed a link: 1 to 32 characters of A-Z a-z
	// 0-9 . _ -. It is not a secret.
	ID string

	secret secret.Text // the bytes of the secret
}

// GenerateKey generates a key with a random ID and 32 random bytes. Store the
// result of [Key.Encode] with the application's secrets.
func GenerateKey() Key {
	b := make([]byte, minSecret)
	rand.Read(b) // never returns an error; on failure, the program crashes
	return Key{ID: strings.ToLower(rand.Text()[:8]), secret: secret.New(string(b))}
}

// NewKey returns a key with a secret from another source, such as a key
// management service. The content must be 32 to 1,024 random bytes, not a
// password. NewKey copies it.
func NewKey(id string, content []byte) (Key, error) {
	k := Key{ID: id, secret: secret.New(string(content))}
	if err := k.check(); err != nil {
		return Key{}, fmt.Errorf("signurl: key: %w", err)
	}
	return k, nil
}

// ParseKeys parses the keys of a configuration: results of [Key.Encode],
// separated by commas. It ignores spaces around them. The first key signs, and
// all keys verify. The package comment explains rotation.
//
// An error states the position of the invalid key and the reason, but quotes
// nothing of s.
func ParseKeys(s string) ([]Key, error) {
	if strings.TrimSpace(s) == "" {
		return nil, errors.New(`signurl: no keys: want "id:secret", the result of Key.Encode`)
	}
	var keys []Key
	for text := range strings.SplitSeq(s, ",") {
		k, err := parseKey(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("signurl: key %d: %w", len(keys)+1, err)
		}
		keys = append(keys, k)
	}
	if err := checkKeys(keys); err != nil {
		return nil, err
	}
	return keys, nil
}

func parseKey(text string) (Key, error) {
	id, enc, ok := strings.Cut(text, ":")
	if !ok {
		return Key{}, errors.New(`no colon: want "id:secret", the result of Key.Encode`)
	}
	// Drop the decoder's error, because it reveals characters of the secret.
	b, err := base64.RawURLEncoding.Strict().DecodeString(enc)
	if err != nil || strings.ContainsAny(enc, "\r\n") {
		return Key{}, errors.New("invalid secret: want base64url without padding, the result of Key.Encode")
	}
	k := Key{ID: id, secret: secret.New(string(b))}
	return k, k.check()
}

// checkKeys refuses an empty list and duplicate IDs. The ID of a link must
// identify one key.
func checkKeys(keys []Key) error {
	if len(keys) == 0 {
		return errors.New("signurl: no keys: want at least one; the first signs")
	}
	for i, k := range keys {
		if err := k.check(); err != nil {
			return fmt.Errorf("signurl: key %d: %w", i+1, err)
		}
		for j := range i {
			if keys[j].ID == k.ID {
				return fmt.Errorf("signurl: keys %d and %d have the same ID: want unique IDs", j+1, i+1)
			}
		}
	}
	return nil
}

// check returns an error without quoting the ID, which may be a misplaced
// secret.
func (k Key) check() error {
	if k.ID == "" || len(k.ID) > maxKeyID || !only(k.ID, isKeyID) {
		return fmt.Errorf("invalid ID: want 1 to %d characters of A-Z a-z 0-9 . _ -", maxKeyID)
	}
	if k.secret.IsZero() {
		return errors.New("the key has no secret: create keys with GenerateKey, NewKey or ParseKeys")
	}
	if n := len(k.secret.Reveal()); n < minSecret || n > maxSecret {
		return fmt.Errorf("the secret has %d bytes: want %d to %d", n, minSecret, maxSecret)
	}
	return nil
}

// Encode returns "id:secret" with the secret in base64url without padding, for
// storage in a configuration. It is the only way to obtain the secret. Treat
// the result as a password. The zero Key returns "".
func (k Key) Encode() string {
	if k.secret.IsZero() {
		return ""
	}
	return k.ID + ":" + base64.RawURLEncoding.EncodeToString([]byte(k.secret.Reveal()))
}

// String returns the ID and "[redacted]".
func (k Key) String() string { return k.ID + ":" + redacted }

// Format prints the result of String, for every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue returns the result of String, for log/slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns the result of String, for encoding/json, encoding/xml and
// other encoders of text. It cannot be reversed: read keys with [ParseKeys].
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func isKeyID(c byte) bool { return unreserved[c] && c != '~' }

func only(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}
