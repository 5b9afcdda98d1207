package config

// What must not be printed. The text sits behind a pointer, because fmt calls no
// methods on values in unexported fields: there it would print a plain string.

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// Secret is a text that prints as "[redacted]", whichever way it is printed,
// logged or marshalled; a URL keeps its scheme ("postgres:[redacted]"), and what
// is not set prints as nothing. Only [Secret.Reveal] gives the text away. The
// zero Secret is not set.
type Secret struct{ text *string }

// NewSecret returns a Secret of that text. An empty text is not set.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet reports whether there is a text.
func (s Secret) IsSet() bool { return s.text != nil && *s.text != "" }

// shownSchemes are told with a redacted URL. They are a closed list, so that
// nothing of a secret is taken for one.
var shownSchemes = []string{"sqlite", "postgres", "postgresql", "mysql", "mariadb", "local", "file", "mem", "s3", "azblob", "gs"}

// String returns "[redacted]", after the scheme of a URL.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	for _, scheme := range shownSchemes {
		if strings.HasPrefix(*s.text, scheme+":") {
			return scheme + ":" + redacted
		}
	}
	return redacted
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// Format prints what String returns, or GoString for %#v, for every verb.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = io.WriteString(f, text)
}

// LogValue is String, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns what String returns, for encoding/json and everything else
// that asks for text. There is no way back.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText sets the text.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
