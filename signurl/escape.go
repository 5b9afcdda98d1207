package signurl

// This file implements percent-encoding. Package net/url is unsuitable: it
// decodes an encoded slash to a slash, and it leaves characters unescaped that
// intermediaries rewrite.

import (
	"strings"
	"unicode/utf8"
)

const (
	maxKey   = 1024 // maximum size of an object key in bytes
	maxPath  = 4096 // maximum size of an escaped path in bytes: enough for the base path and a key with every byte escaped
	maxQuery = 4096 // maximum size of a query in bytes: Sign writes fewer than 3,000, so foreign parameters have room
)

// unreserved contains the characters of RFC 3986, section 2.3. No encoder
// changes them.
var unreserved = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return t
}()

// appendEscaped percent-encodes all characters that are not unreserved. If
// slash is true, it leaves slashes unescaped.
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

// unescapePath decodes a path once. It refuses encoded slashes, because an
// intermediary that decodes them sees a different path.
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

// unescapeQuery decodes a name or a value of the query, with a plus as a space.
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

// unhex decodes the escape sequence at s[i].
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

// keyProblem returns the reason if a link cannot contain the key, or "". Sign
// and Verify share it, so that Sign never issues a link that Verify refuses. It
// refuses the keys that browsers, proxies and http.ServeMux do not transmit
// unchanged. A store may have more rules.
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
