package signurl

// Percent-encoding, written out because net/url's is both too lenient on the way in (an encoded slash turns into a
// slash) and leaves characters on the way out that intermediaries like to rewrite.

import (
	"strings"
	"unicode/utf8"
)

const (
	maxKey   = 1024 // bytes of an object key
	maxPath  = 4096 // bytes of an escaped path: the base path and a key with every byte escaped fit
	maxQuery = 4096 // bytes of a query: the longest that Sign makes is below 3,000, the rest is for foreign parameters
)

// unreserved are the characters of RFC 3986, 2.3: the only ones that no encoder ever changes.
var unreserved = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return t
}()

// appendEscaped percent-encodes all but unreserved characters, and slashes if they are path separators.
func appendEscaped(dst []byte, s string, slash bool) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if unreserved[c] || slash && c == '/' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// unescapePath decodes a path once. It refuses encoded slashes: an intermediary that decodes them sees another path.
func unescapePath(s string) (path, reason string) {
	if !strings.Contains(s, "%") {
		return s, ""
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			var ok bool
			if c, ok = unhex(s, i); !ok {
				return "", "the path is not percent-encoded correctly"
			}
			if c == '/' {
				return "", "the path has an encoded slash"
			}
			i += 2
		}
		b = append(b, c)
	}
	return string(b), ""
}

// unescapeQuery decodes a name or a value of the query, where a plus is a space.
func unescapeQuery(s string) (text string, ok bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if c, ok = unhex(s, i); !ok {
				return "", false
			}
			i += 2
		}
		b = append(b, c)
	}
	return string(b), true
}

// unhex reads the escape that begins at s[i].
func unhex(s string, i int) (c byte, ok bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	hi, lo := nibble(s[i+1]), nibble(s[i+2])
	return hi<<4 | lo, hi < 16 && lo < 16
}

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// keyProblem tells why a key cannot be in a link, or "". Sign and Verify share it, so that no link is issued that would
// be refused. These are the keys that a URL cannot carry faithfully through browsers, proxies and http.ServeMux; what
// keys a store takes is the store's to say.
func keyProblem(key string) string {
	switch {
	case key == "":
		return "the object key is empty"
	case len(key) > maxKey:
		return "the object key is longer than 1024 bytes"
	case !utf8.ValidString(key):
		return "the object key is not valid UTF-8"
	}
	start := 0
	for i := 0; i <= len(key); i++ {
		if i == len(key) || key[i] == '/' {
			switch key[start:i] {
			case "":
				return "the object key begins or ends with a slash or has two in a row"
			case ".", "..":
				return "the object key has a dot segment"
			}
			start = i + 1
			continue
		}
		switch c := key[i]; {
		case c == '\\':
			return "the object key has a backslash"
		case c < 0x20 || c == 0x7f:
			return "the object key has a control character"
		}
	}
	return ""
}
