package cloudhttp

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// The Go CDK stores metadata under escaped names and unescapes them on reading.
// Providers that write directly must escape in the same way, so that Attributes
// finds the metadata.

// EscapeName replaces the characters of s selected by bad with the form
// "__0x2e__". It also escapes the first character of text that already has this
// form.
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

// S3Name escapes a metadata name like the Go CDK's s3blob.
func S3Name(s string) string {
	return EscapeName(url.PathEscape(s), func(_ int, r rune) bool { return strings.ContainsRune("@:=", r) })
}

// MetaHeader is the prefix of metadata names on S3. It counts toward the limit.
const MetaHeader = "x-amz-meta-"

// MetaCost returns the size of an entry that counts toward the metadata limit
// of S3, the lowest of all services.
func MetaCost(name, value string) int {
	return len(MetaHeader) + len(S3Name(name)) + len(EscapeValue(value))
}

// MaxMeta is the metadata limit of S3 in bytes.
const MaxMeta = 2 << 10

// CutEscaped returns the longest prefix of s whose escaped form has at most n
// bytes.
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

// EscapeValue escapes a value like the path of a URL. Every header accepts the
// result.
func EscapeValue(s string) string { return url.PathEscape(s) }

// UnescapeValue reverses EscapeValue. It returns values unchanged that were not
// escaped.
func UnescapeValue(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}
