// This file maps keys to file names. Every key has exactly one file name, and
// every file name has at most one key. Keys that would break this rule are
// refused before the file system is accessed.

package localblob

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"gocloud.dev/gcerrors"
)

const (
	privateDir = ".blobtrail" // temporary files and lock files; never listed
	tempDir    = privateDir + "/tmp"
	lockDir    = privateDir + "/locks"
	canaryDir  = privateDir + "/check"   // test objects of Store.Check; never listed
	uploadsDir = privateDir + "/uploads" // received bytes before they are accepted; listed only with this prefix
	attrsExt   = ".attrs"

	maxName = 255 // maximum bytes in a file name, on every common file system
)

// fileName returns the slash-separated path of the key's file below the root.
// With writing, it leaves room for the name of the sidecar.
func fileName(key string, writing bool) (string, error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", &codedError{code: gcerrors.InvalidArgument, msg: fmt.Sprintf("localblob: the key %q ", key) + fmt.Sprintf(format, args...)}
	}
	if key == "" {
		return refuse("is empty")
	}
	if !utf8.ValidString(key) {
		return refuse("is not valid UTF-8")
	}
	name := escapeKey(key)
	if unescape(name) != key {
		return refuse("has the same file name as another key: it contains an escape sequence such as __0x2f__ before an escaped character")
	}
	if strings.HasSuffix(name, attrsExt) {
		return refuse("ends in %q, which is reserved for attributes", attrsExt)
	}
	segments := strings.Split(name, "/")
	if strings.EqualFold(segments[0], privateDir) && !strings.HasPrefix(name, canaryDir+"/") && !strings.HasPrefix(name, uploadsDir+"/") {
		return refuse("is inside %q, which is reserved for temporary files", privateDir)
	}
	for i, s := range segments {
		if why := badSegment(s); why != "" {
			return refuse("%s", why)
		}
		limit := maxName
		if writing && i == len(segments)-1 {
			limit -= len(attrsExt)
		}
		if len(s) > limit {
			return refuse("has a part of %d bytes as a file name: want at most %d", len(s), limit)
		}
	}
	return name, nil
}

// badSegment returns the reason for refusing a segment of a path, or "".
func badSegment(s string) string {
	switch s {
	case "":
		return `has an empty part: it begins with "/" (write "a/b", not "/a/b")`
	case ".", "..":
		return fmt.Sprintf("has the part %q, which names another key's file", s)
	}
	return ""
}

// escapeKey converts a key to a path in the same way as fileblob, so that both
// can open each other's folders. It escapes control characters, the slash of
// "../", the second slash of "//", a slash at the end, and the first underscore
// of text that already looks like an escape. The escaped form is "__0x<hex>__".
func escapeKey(key string) string {
	if plain(key) {
		return key
	}
	r := []rune(key)
	var b strings.Builder
	for i, c := range r {
		escape := c < ' ' ||
			c == '/' && (i == len(r)-1 || i > 0 && r[i-1] == '/' || i > 1 && r[i-1] == '.' && r[i-2] == '.')
		if !escape && c == '_' {
			_, n := escapeAt(string(r[i:]))
			escape = n > 0
		}
		if escape {
			fmt.Fprintf(&b, "__%#x__", c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// plain reports whether key needs no escapes.
func plain(key string) bool {
	for i := 0; i < len(key); i++ {
		if key[i] < ' ' {
			return false
		}
	}
	return !strings.HasSuffix(key, "/") && !strings.Contains(key, "//") && !strings.Contains(key, "../") &&
		!strings.Contains(key, "__0x")
}

// unescape reverses escapeKey, for a path or a single file name.
func unescape(name string) string {
	if !strings.Contains(name, "__0x") {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		if c, n := escapeAt(name[i:]); n > 0 {
			b.WriteRune(c)
			i += n
			continue
		}
		b.WriteByte(name[i])
		i++
	}
	return b.String()
}

// escapeAt reads the escape sequence at the start of s. If s does not start
// with one, length is 0.
func escapeAt(s string) (c rune, length int) {
	rest, ok := strings.CutPrefix(s, "__0x")
	if !ok {
		return 0, 0
	}
	digits, tail, _ := strings.Cut(rest, "_")
	if !strings.HasPrefix(tail, "_") {
		return 0, 0
	}
	v, err := strconv.ParseInt(digits, 16, 32)
	if err != nil {
		return 0, 0
	}
	return rune(v), len("__0x") + len(digits) + len("__")
}

// canonical reports whether some key leads to the file or folder name in the
// folder path. A folder can contain other names, created by hand. They are not
// objects, because no key opens them.
func canonical(path, name string, dir bool) bool {
	if utf8.ValidString(name) && plain(name) && (!dir || !strings.HasSuffix(name, "..")) {
		return true
	}
	full := name
	if path != "" {
		full = path + "/" + name
	}
	if dir {
		full += "/x"
	}
	key := unescape(full)
	return utf8.ValidString(full) && utf8.ValidString(key) && escapeKey(key) == full
}
