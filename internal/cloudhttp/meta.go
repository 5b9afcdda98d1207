package cloudhttp

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// The Go CDK keeps metadata under escaped names, and reads it back so. Providers
// that write by themselves must escape alike, or Attributes would not find what
// they wrote.

// EscapeName writes the characters of s that bad selects as "__0x2e__". What
// looks like such an escape already has its first character escaped.
func EscapeName(s string, bad func(i int, r rune) bool) string {
	var b strings.Builder
	for i, r := range s {
		if bad(i, r) || looksEscaped(s[i:]) {
			fmt.Fprintf(&b, "__%#x__", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// S3Name writes a name of metadata as the Go CDK's s3blob does.
func S3Name(s string) string {
	return EscapeName(url.PathEscape(s), func(_ int, r rune) bool { return strings.ContainsRune("@:=", r) })
}

// MetaHeader begins each name on S3, and counts.
const MetaHeader = "x-amz-meta-"

// MetaCost is what an entry takes of the room for metadata on S3, which has the
// least of all services.
func MetaCost(name, value string) int {
	return len(MetaHeader) + len(S3Name(name)) + len(EscapeValue(value))
}

// MaxMeta is that room.
const MaxMeta = 2 << 10

// CutEscaped returns as much of s as fits into n bytes when it is escaped.
func CutEscaped(s string, n int) string {
	for i, r := range s {
		if n -= len(EscapeValue(string(r))); n < 0 {
			return s[:i]
		}
	}
	return s
}

// UnescapeName reverses EscapeName.
func UnescapeName(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if r, rest, ok := cutEscape(s); ok {
			b.WriteRune(r)
			s = rest
			continue
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

func looksEscaped(s string) bool {
	_, _, ok := cutEscape(s)
	return ok
}

func cutEscape(s string) (r rune, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, "__0x")
	if !ok {
		return 0, "", false
	}
	digits, rest, ok := strings.Cut(s, "__")
	if !ok || digits == "" {
		return 0, "", false
	}
	n, err := strconv.ParseUint(digits, 16, 31)
	return rune(n), rest, err == nil
}

// EscapeValue writes a value as the path of a URL, which every header takes.
func EscapeValue(s string) string { return url.PathEscape(s) }

// UnescapeValue reverses EscapeValue; what was not escaped stays as it is.
func UnescapeValue(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}
