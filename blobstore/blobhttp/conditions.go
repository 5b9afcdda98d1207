package blobhttp

// This file implements conditional requests, as in RFC 9110, section 13.

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/blobstore"
)

// etag returns the entity tag of an object. The digest makes a strong tag,
// equal on every backend. Without a digest, etag returns the backend's tag, or
// an empty string if the backend has none.
func etag(sha []byte, backend string) string {
	if sha != nil {
		b := make([]byte, 2+hex.EncodedLen(len(sha)))
		b[0], b[len(b)-1] = '"', '"'
		hex.Encode(b[1:], sha)
		return string(b)
	}
	if tag, rest := scanTag(backend); rest == "" {
		return tag
	}
	return ""
}

// scanTag splits a list of entity tags after the first one. It returns an empty
// tag if the list does not start with one.
func scanTag(s string) (tag, rest string) {
	s = strings.TrimLeft(s, " \t")
	start := 0
	if strings.HasPrefix(s, "W/") {
		start = 2
	}
	if len(s) <= start || s[start] != '"' {
		return "", s
	}
	for i := start + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[:i+1], strings.TrimLeft(s[i+1:], " \t")
		case c == 0x21 || c >= 0x23 && c != 0x7f:
		default:
			return "", s
		}
	}
	return "", s
}

func isWeak(tag string) bool { return strings.HasPrefix(tag, "W/") }

// matches reports whether a list contains tag. "*" matches any tag. A strong
// comparison never matches weak tags.
func matches(list, tag string, strong bool) bool {
	list = strings.Trim(list, " \t")
	if list == "*" {
		return true
	}
	for list != "" {
		var t string
		if list[0] == ',' {
			list = strings.TrimLeft(list[1:], " \t")
			continue
		}
		if t, list = scanTag(list); t == "" {
			return false
		}
		switch {
		case tag == "":
		case strong && t == tag && !isWeak(t):
			return true
		case !strong && strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/"):
			return true
		}
	}
	return false
}

// list returns a list header. A request may send it in several lines.
func list(h http.Header, name string) (string, bool) {
	v := h[name]
	switch len(v) {
	case 0:
		return "", false
	case 1:
		return v[0], true
	}
	return strings.Join(v, ","), true
}

// conditional reports whether the response depends on the state of the object.
func conditional(h http.Header) bool {
	for _, name := range [...]string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"} {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}

// precondition evaluates the conditions of a GET or HEAD request, in the order
// of section 13.2.2. It returns the status 304 or 412, or 0 if the request
// proceeds.
func precondition(h http.Header, tag string, modified time.Time) int {
	if v, ok := list(h, "If-Match"); ok {
		if !matches(v, tag, true) {
			return http.StatusPreconditionFailed
		}
	} else if t, ok := date(h, "If-Unmodified-Since"); ok && !modified.IsZero() && modified.Truncate(time.Second).After(t) {
		return http.StatusPreconditionFailed
	}
	if v, ok := list(h, "If-None-Match"); ok {
		if matches(v, tag, false) {
			return http.StatusNotModified
		}
	} else if t, ok := date(h, "If-Modified-Since"); ok && !modified.IsZero() && !modified.Truncate(time.Second).After(t) {
		return http.StatusNotModified
	}
	return 0
}

// rangeHolds reports whether If-Range permits the use of the Range header.
func rangeHolds(h http.Header, tag string, modified time.Time) bool {
	v := h.Get("If-Range")
	if v == "" {
		return true
	}
	if t, rest := scanTag(v); t != "" {
		return rest == "" && t == tag && !isWeak(t)
	}
	t, err := http.ParseTime(v)
	return err == nil && !modified.IsZero() && modified.Unix() == t.Unix()
}

func date(h http.Header, name string) (time.Time, bool) {
	v := h.Get(name)
	if v == "" {
		return time.Time{}, false
	}
	t, err := http.ParseTime(v)
	return t, err == nil
}

// objectTag returns the entity tag of a stored object.
func objectTag(o *blobstore.Object) string { return etag(o.SHA256, o.ETag) }

// asPrecondition converts the error of an upload to an existing key. The
// request itself required a new key, so its condition failed.
func asPrecondition(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", errPrecondition, err)
	}
	return err
}
