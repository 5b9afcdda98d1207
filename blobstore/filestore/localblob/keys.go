// Keys and file names. Every key has exactly one file name and every file name at most one key: whatever would break
// that is refused here, before the file system is asked.

package localblob

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"gocloud.dev/gcerrors"
)

const (
	privateDir = ".blobtrail" // holds temporary files and lock files; never listed
	tempDir    = privateDir + "/tmp"
	lockDir    = privateDir + "/locks"
	canaryDir  = privateDir + "/check"   // for objects that try the folder out; as hidden as the rest
	uploadsDir = privateDir + "/uploads" // for bytes that are not accepted yet; listed only by that prefix
	attrsExt   = ".attrs"

	maxName = 255 // bytes in one file name, on every common file system
)

// fileName gives the slash-separated path of key's file below the root. With writing, there must be room for the
// sidecar's name as well.
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
			return refuse("has a part of %d bytes as a file name; at most %d are possible", len(s), limit)
		}
	}
	return name, nil
}

// badSegment says why a file name cannot stand between two slashes, or "" if it can.
func badSegment(s string) string {
	switch s {
	case "":
		return `has an empty part: it begins with "/" (write "a/b", not "/a/b")`
	case ".", "..":
		return fmt.Sprintf("has the part %q, which names another key's file", s)
	}
	return ""
}

// escapeKey turns a key into a path as fileblob does, so that either can open a folder of the other: a control
// character, the slash of "../", the second slash of "//", a slash at the end, and the first underscore of what
// already looks like an escape become "__0x<hex>__".
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

// plain reports whether nothing in key can need escaping.
func plain(key string) bool {
	for i := 0; i < len(key); i++ {
		if key[i] < ' ' {
			return false
		}
	}
	return !strings.HasSuffix(key, "/") && !strings.Contains(key, "//") && !strings.Contains(key, "../") &&
		!strings.Contains(key, "__0x")
}

// unescape reverses escapeKey, for a whole path or for one file name of it.
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

// escapeAt reads the escape sequence that s begins with; its length is 0 if there is none.
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

// canonical reports whether the file or folder name in the folder path is the one that some key leads to. A folder
// can hold other names (put there by hand); they are no objects, because no key opens them.
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
