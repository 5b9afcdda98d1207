// Package secret holds keys, passwords and signed URLs in memory without
// revealing them by accident.
//
// A [Text] prints as "[redacted]" in every verb of package fmt, in log/slog, in
// encoding/json and encoding/xml, and in a panic. It keeps that promise wherever
// it is: a printer that calls no methods, as fmt does for unexported fields,
// finds only the address of a function. [Text.Reveal] is the only way to read
// it.
//
// The package protects against accidents, not against code that wants the
// secret: any code with the value can call Reveal, and the text is in the memory
// of the process.
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
// zero Text is empty. It is safe for concurrent use and never changes, except
// by UnmarshalText.
//
// A Text cannot be compared by ==, be a key of a map, or be equal to another by
// reflect.DeepEqual unless both are empty: use [Text.Equal].
//
// Package encoding/gob refuses a value with a Text in an exported field.
type Text struct {
	// A function, because neither fmt nor package reflect can look inside one.
	// They print a string, and they follow a pointer to it in some positions.
	reveal func() string
}

// New returns a Text that holds s. An empty s gives the zero Text.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{func() string { return s }}
}

// Reveal returns the secret text. Keep the result out of errors, logs and
// structs that are printed.
func (t Text) Reveal() string {
	if t.reveal == nil {
		return ""
	}
	return t.reveal()
}

// IsZero reports whether the text is empty. The option omitzero of
// encoding/json uses it.
func (t Text) IsZero() bool { return t.reveal == nil }

// Equal reports whether both hold the same text. The time that it takes depends
// on the lengths only.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(u.Reveal())) == 1
}

// shownSchemes are printed in front of a redacted URL. The list is closed, so
// that the beginning of a secret is never taken for a scheme.
var shownSchemes = []string{"sqlite", "postgres", "postgresql", "mysql", "mariadb", "local", "file", "mem", "s3", "azblob", "gs"}

// String returns "[redacted]", or "" if the text is empty. The scheme of a
// database or bucket URL is kept: "postgres:[redacted]".
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

// UnmarshalText sets the text, for configuration that is decoded into a struct.
// It refuses the output of MarshalText, so that a configuration that was printed
// and read again is an error instead of a wrong secret.
func (t *Text) UnmarshalText(text []byte) error {
	s := string(text)
	if s == redacted || strings.HasSuffix(s, ":"+redacted) {
		return errors.New("secret: the text is redacted: want the secret itself")
	}
	*t = New(s)
	return nil
}
