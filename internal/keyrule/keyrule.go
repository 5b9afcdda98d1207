// Package keyrule holds the rules of object keys: what is refused because some
// backend would let it climb out, alias another key or hide, and how the name
// of an uploaded file is made safe to be part of a key.
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
	MaxKey     = 1024 // bytes of a key: the limit of S3 and GCS
	MaxSegment = 200  // bytes between slashes: file systems allow 255, of which suffixes take some
	MaxName    = 160  // bytes of a safe name, which leaves room for a UUID in its segment

	// Private is the folder in which local drivers keep files of their own.
	Private = ".blobtrail"

	// Uploads begins the private keys of the bytes that clients send under
	// tickets, until they are accepted. The id of the ticket's operation follows.
	Uploads = Private + "/uploads/"
)

// IsUpload reports whether key is a private key below Uploads. Check refuses
// such a key, so that no operation of a store reaches it.
func IsUpload(key string) bool {
	id, ok := strings.CutPrefix(key, Uploads)
	return ok && len(id) == 36 && strings.Trim(id, "0123456789abcdef-") == ""
}

// Check returns why key can't be used, or nil.
func Check(key string) error {
	switch {
	case key == "":
		return errors.New("it is empty")
	case len(key) > MaxKey:
		return fmt.Errorf("it has %d bytes: at most %d", len(key), MaxKey)
	case !utf8.ValidString(key):
		return errors.New("it is not valid UTF-8")
	case key[0] == '/':
		return errors.New("it begins with a slash")
	}
	for _, r := range key {
		if name := forbidden(r); name != "" {
			return fmt.Errorf("it contains %s (%U)", name, r)
		}
	}
	switch {
	case !norm.NFC.IsNormalString(key):
		return errors.New("it is not in Unicode normal form NFC, so that another spelling would look the same")
	case strings.Contains(key, "__0x"):
		return errors.New(`it contains "__0x", which backends use for escapes`)
	}
	for i, seg := range strings.Split(key, "/") {
		if err := checkSegment(seg); err != nil {
			return err
		}
		if i == 0 && strings.EqualFold(seg, Private) {
			return fmt.Errorf("it begins with %q, which is reserved", Private)
		}
	}
	return nil
}

func checkSegment(seg string) error {
	switch {
	case seg == "":
		return errors.New("it has an empty segment: two slashes in a row, or one at the end")
	case seg == "." || seg == "..":
		return fmt.Errorf("it has the segment %q", seg)
	case len(seg) > MaxSegment:
		return fmt.Errorf("it has a segment of %d bytes: at most %d", len(seg), MaxSegment)
	case strings.HasSuffix(seg, "."):
		return errors.New("it has a segment that ends in a dot, which some backends drop")
	case strings.HasPrefix(seg, " ") || strings.HasSuffix(seg, " "):
		return errors.New("it has a segment that begins or ends with a space")
	case IsTemp(seg):
		return errors.New(`it has a segment that ends in "." and 16 hexadecimal digits and ".tmp", as the temporary files of local storage do`)
	case len(seg) >= len(".attrs") && strings.EqualFold(seg[len(seg)-len(".attrs"):], ".attrs"):
		return errors.New(`it has a segment that ends in ".attrs", where local storage keeps attributes`)
	}
	return nil
}

// IsTemp reports whether the Go CDK's fileblob would give a temporary file such
// a name, which holds the time in nanoseconds.
func IsTemp(seg string) bool {
	stem, ok := strings.CutSuffix(seg, ".tmp")
	i := len(stem) - 16
	return ok && i > 0 && stem[i-1] == '.' && strings.Trim(stem[i:], "0123456789abcdef") == ""
}

// forbidden returns the name of the kind of character that makes r unusable in
// a key, or "".
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
		return "a code point that is no character"
	}
	return ""
}

// SafeName makes the last part of a key from the name that a client gave to a
// file: the base name, in NFC, with what a key must not contain replaced by
// '_', and cut to MaxName bytes before its extension. It is never empty, and
// Check accepts it.
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
		name = "_x" + rest // a key has a UUID and another '_' before it
	}
	if name == "" || Check(name) != nil {
		return "file"
	}
	return name
}

// trim removes what must not stand at the ends of a segment.
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
