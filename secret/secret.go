// Package secret stores keys, passwords and signed URLs in memory without
// revealing them by accident.
//
// A [Text] prints as "[redacted]" in every verb of package fmt, in log/slog, in
// encoding/json and encoding/xml, and in a panic. This also holds where the
// printer calls no methods, as package fmt does for unexported fields: it finds
// only the address of a function. [Text.Reveal] is the only way to read a Text.
//
// The package protects against accidents, not against hostile code. Any code
// with the value can call Reveal, and the text is in the memory of the process.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
)

const redacted = "[redacted]"

// Text is a secret text, such as a key, a password or a data source name. The
// zero Text is empty. A Text is safe for concurrent use. It never changes,
// except by UnmarshalText.
//
// A Text cannot be compared with == and cannot be a map key. reflect.DeepEqual
// considers two of them equal only if both are empty. Use [Text.Equal].
//
// Package encoding/gob refuses a value with a Text in an exported field.
type Text struct {
	// The text is in a function, because packages fmt and reflect cannot look
	// inside a function. They print strings and, in some positions, follow
	// pointers to them.
	reveal func() string
}

// New returns a Text with the text s. If s is empty, it returns the zero Text.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{func() string { return s }}
}

// Reveal returns the secret text. Keep the result out of errors, logs and
// printed structs.
func (t Text) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// IsZero reports whether the text is empty. The option omitzero of
// encoding/json uses it.
func (t Text) IsZero() bool { return t.reveal == nil }

// Equal reports whether both texts are equal. Its running time depends only on
// their lengths.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(u.Reveal())) == 1
}

// shownSchemes are printed before a redacted URL. Only listed schemes are
// printed, so that the beginning of a secret is never mistaken for a scheme.
var shownSchemes = []string{"sqlite", "postgres", "postgresql", "mysql", "mariadb", "local", "file", "mem", "s3", "azblob", "gs"}

// String returns "[redacted]", or "" if the text is empty. For a database or
// bucket URL, it includes the scheme: "postgres:[redacted]".
func (t Text) String() string {
	if t.IsZero() {
		return ""
	}
	scheme, _, ok := strings.Cut(t.Reveal(), ":")
	if ok {
		for _, s := range shownSchemes {
			if s == scheme {
				return s + ":" + redacted
			}
		}
	}
	return redacted
}

// Format prints the result of String for every verb, in quotes for %q and %#v.
func (t Text) Format(f fmt.State, verb rune) {
	s := t.String()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		s = strconv.Quote(s)
	}
	_, _ = io.WriteString(f, s)
}

// LogValue returns the result of String, for log/slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText returns the result of String, for encoding/json, encoding/xml and
// other encoders of text. The secret cannot be restored from it.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText sets the text when a configuration is decoded into a struct. It
// refuses the output of MarshalText: printing a configuration and reading it
// again is an error, not a wrong secret.
func (t *Text) UnmarshalText(text []byte) error {
	s := string(text)
	if s == redacted || strings.HasSuffix(s, ":"+redacted) {
		return errors.New("secret: the text is redacted: want the secret itself")
	}
	*t = New(s)
	return nil
}
