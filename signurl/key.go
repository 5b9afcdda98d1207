package signurl

// Keys of links. Package secret keeps the secret out of everything that is printed.

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
	minSecret = 32   // bytes: as long as the MAC
	maxSecret = 1024 // bytes
	maxKeyID  = 32   // bytes: shorter than any encoded secret, so that a secret put in the ID's place is refused

	redacted = "[redacted]"
)

// Key is a secret that signs links, under an ID that the links carry in the clear.
//
// Keys are made by [GenerateKey], [NewKey] and [ParseKeys]; the zero Key is refused by [New]. A Key prints as its ID with
// "[redacted]", whichever way it is printed, logged or marshalled: only [Key.Encode] gives the secret away. Keys cannot
// be compared; compare what Encode returns.
type Key struct {
	// ID tells which key signed a link: 1 to 32 characters of A-Z a-z 0-9 . _ -. It is not a secret.
	ID string

	secret secret.Text // bytes
}

// GenerateKey generates a key with a random ID and 32 random bytes. Store what [Key.Encode] returns where the application keeps
// its secrets.
func GenerateKey() Key {
	b := make([]byte, minSecret)
	rand.Read(b) // never fails: the program is stopped instead
	return Key{ID: strings.ToLower(rand.Text()[:8]), secret: secret.New(string(b))}
}

// NewKey returns a key of a secret that comes from elsewhere, such as a key management service. The content must be 32
// to 1,024 random bytes, not a password. It is copied.
func NewKey(id string, content []byte) (Key, error) {
	k := Key{ID: id, secret: secret.New(string(content))}
	if err := k.check(); err != nil {
		return Key{}, fmt.Errorf("signurl: key: %w", err)
	}
	return k, nil
}

// ParseKeys reads keys as configuration holds them: the texts that [Key.Encode] returns, separated by commas, with
// spaces around them ignored. The first key signs, all of them verify; see the package comment for how to rotate.
//
// An error tells the position of the key at fault and what is wrong, but quotes nothing of the text.
func ParseKeys(s string) ([]Key, error) {
	if strings.TrimSpace(s) == "" {
		return nil, errors.New(`signurl: no keys: want "id:secret", as Key.Encode returns it`)
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
		return Key{}, errors.New(`no colon: want "id:secret", as Key.Encode returns it`)
	}
	// The decoder's own error is left out: it tells about the secret's characters.
	b, err := base64.RawURLEncoding.Strict().DecodeString(enc)
	if err != nil || strings.ContainsAny(enc, "\r\n") {
		return Key{}, errors.New("the secret is not base64url without padding, as Key.Encode writes it")
	}
	k := Key{ID: id, secret: secret.New(string(b))}
	return k, k.check()
}

// checkKeys refuses an empty list and IDs that occur twice, for a link could not tell which of the two signed it.
func checkKeys(keys []Key) error {
	if len(keys) == 0 {
		return errors.New("signurl: no keys: at least one is needed, the first signs")
	}
	for i, k := range keys {
		if err := k.check(); err != nil {
			return fmt.Errorf("signurl: key %d: %w", i+1, err)
		}
		for j := range i {
			if keys[j].ID == k.ID {
				return fmt.Errorf("signurl: keys %d and %d have the same ID", j+1, i+1)
			}
		}
	}
	return nil
}

// check quotes nothing: where the ID should be there may be a misplaced secret.
func (k Key) check() error {
	if k.ID == "" || len(k.ID) > maxKeyID || !only(k.ID, isKeyID) {
		return fmt.Errorf("the ID must be 1 to %d characters of A-Z a-z 0-9 . _ -", maxKeyID)
	}
	if k.secret.IsZero() {
		return errors.New("it has no secret; make keys with GenerateKey, NewKey or ParseKeys")
	}
	if n := len(k.secret.Reveal()); n < minSecret || n > maxSecret {
		return fmt.Errorf("the secret has %d bytes; want %d to %d", n, minSecret, maxSecret)
	}
	return nil
}

// Encode returns "id:secret" with the secret in base64url without padding, for storing it in configuration. It is the
// one way to get the secret's text; treat the result as a password. The zero Key gives "".
func (k Key) Encode() string {
	if k.secret.IsZero() {
		return ""
	}
	return k.ID + ":" + base64.RawURLEncoding.EncodeToString([]byte(k.secret.Reveal()))
}

// String returns the ID and "[redacted]".
func (k Key) String() string { return k.ID + ":" + redacted }

// Format prints what String returns, for every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String, for log/slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns what String returns, for encoding/json, encoding/xml and everything else that asks for text.
// There is no way back: read keys with [ParseKeys].
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
