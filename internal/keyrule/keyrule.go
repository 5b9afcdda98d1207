// Package keyrule contains the rules of object keys. It refuses keys that some
// backend would hide, alias to another key, or resolve outside the store. It
// also makes file names of uploads safe for use in a key.
package keyrule

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	MaxKey     = 1024 // maximum size of a key in bytes: the limit of S3 and GCS
	MaxSegment = 200  // maximum size of a segment in bytes: file systems permit 255, and suffixes need some
	MaxName    = 160  // maximum size of a safe name in bytes: leaves room for a UUID in its segment

	// Private is the folder for private files of local drivers.
	Private = ".blobtrail"

	// Uploads is the prefix of the private keys of ticket uploads until they
	// are accepted. The ID of the ticket's operation follows.
	Uploads = Private + "/uploads/"
)

// IsUpload reports whether key is a private key below Uploads. Check refuses
// these keys, so operations of a store never reach them.
func IsUpload(key string) bool {
	id, ok := strings.CutPrefix(key, Uploads)
	return ok && len(id) == 36 && strings.Trim(id, "0123456789abcdef-") == ""
}

// Check returns an error if key is invalid.
func Check(key string) error {
	switch {
	case key == "":
		return errors.New("empty: want at least one character")
	case len(key) > MaxKey:
		return fmt.Errorf("%d bytes: want at most %d", len(key), MaxKey)
	case !utf8.ValidString(key):
		return errors.New("not valid UTF-8")
	case key[0] == '/':
		return errors.New("begins with a slash")
	}
	for _, r := range key {
		if name := forbidden(r); name != "" {
			return fmt.Errorf("contains %s (%U)", name, r)
		}
	}
	switch {
	case !norm.NFC.IsNormalString(key):
		return errors.New("not in Unicode normalization form NFC: two different keys could look the same")
	case strings.Contains(key, "__0x"):
		return errors.New(`contains "__0x", which backends use for escapes`)
	}
	for i, seg := range strings.Split(key, "/") {
		if err := checkSegment(seg); err != nil {
			return err
		}
		if i == 0 && strings.EqualFold(seg, Private) {
			return fmt.Errorf("begins with %q, which is reserved", Private)
		}
	}
	return nil
}

func checkSegment(seg string) error {
	switch {
	case seg == "":
		return errors.New("empty segment: the key has two slashes in a row or ends in a slash")
	case seg == "." || seg == "..":
		return fmt.Errorf("has the segment %q", seg)
	case len(seg) > MaxSegment:
		return fmt.Errorf("a segment has %d bytes: want at most %d", len(seg), MaxSegment)
	case strings.HasSuffix(seg, "."):
		return errors.New("a segment ends in a dot, which some backends remove")
	case strings.HasPrefix(seg, " ") || strings.HasSuffix(seg, " "):
		return errors.New("a segment begins or ends with a space")
	case IsTemp(seg):
		return errors.New(`a segment ends in ".", 16 hexadecimal digits and ".tmp", like temporary files of local storage`)
	case len(seg) >= len(".attrs") && strings.EqualFold(seg[len(seg)-len(".attrs"):], ".attrs"):
		return errors.New(`a segment ends in ".attrs", where local storage stores attributes`)
	}
	return nil
}

// IsTemp reports whether seg has the form of a temporary file of the Go CDK's
// fileblob, which contains the time in nanoseconds.
func IsTemp(seg string) bool {
	stem, ok := strings.CutSuffix(seg, ".tmp")
	i := len(stem) - 16
	return ok && i > 0 && stem[i-1] == '.' && strings.Trim(stem[i:], "0123456789abcdef") == ""
}

// forbidden returns the kind of r if a key must not contain it, or "".
func forbidden(r rune) string {
	switch {
	case r == '\\':
		return "a backslash"
	case unicode.IsControl(r):
		return "a control character"
	case unicode.Is(unicode.Bidi_Control, r):
		return "a character that reverses the direction of text"
	case r == '\u2028' || r == '\u2029':
		return "a line separator"
	case r == '\u00ad' || r == '\u200b' || r == '\u2060' || r == '\ufeff':
		return "an invisible character"
	case unicode.Is(unicode.Noncharacter_Code_Point, r) || r == utf8.RuneError:
		return "a code point that is not a character"
	}
	return ""
}

// SafeName converts the client's name of a file to the last segment of a key.
// It takes the base name in NFC, replaces forbidden characters with '_', and
// truncates the name before its extension to MaxName bytes. The result is never
// empty, and Check accepts it.
func SafeName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = norm.NFC.String(name)
	name = strings.Map(func(r rune) rune {
		if forbidden(r) != "" || r == '?' || r == '#' || r == '%' || r == '"' || r == '<' || r == '>' || r == '|' || r == '*' || r == ':' {
			return '_'
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, name)
	name = strings.ReplaceAll(name, "__0x", "__x")
	name = trim(name)
	if len(name) > MaxName {
		ext := path.Ext(name)
		if len(ext) > 20 {
			ext = ""
		}
		name = trim(cut(strings.TrimSuffix(name, ext), MaxName-len(ext))) + ext
	}
	if name != "" && checkSegment(name) != nil {
		name = "_" + cut(strings.TrimLeft(name, "."), MaxName-2) + "_"
	}
	if rest, ok := strings.CutPrefix(name, "_0x"); ok {
		name = "_x" + rest // a key has a UUID and "_" before the name, which would add up to "__0x"
	}
	if name == "" || Check(name) != nil {
		return "file"
	}
	return name
}

// trim removes characters that a segment must not begin or end with.
func trim(s string) string {
	return strings.TrimLeft(strings.TrimRight(s, ". "), " ")
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
