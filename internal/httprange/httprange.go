// Package httprange parses the HTTP Range header of RFC 9110, section 14.
package httprange

import (
	"errors"
	"strconv"
	"strings"

	"github.com/blobtrail/blobtrail/blobstore"
)

// maxRanges limits the ranges per request. Each range costs a request to the
// backend, and no legitimate client needs more.
const maxRanges = 32

// ErrNoOverlap reports that all ranges start past the end of the content. The
// response then has status 416.
var ErrNoOverlap = errors.New("no range overlaps the content")

// Parse returns the ranges in a Range header for an object of size bytes. If it
// returns no ranges and no error, the response is the whole object. That is the
// case if the header is empty or invalid, has a unit other than bytes, or
// requests more than 32 ranges or more bytes than the object has.
func Parse(header string, size int64) ([]blobstore.Range, error) {
	set, ok := cutUnit(header)
	if !ok {
		return nil, nil
	}
	var (
		parts []blobstore.Range
		total int64
		any   bool
	)
	for spec := range strings.SplitSeq(set, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue // lists may have empty elements
		}
		any = true
		part, ok := parseSpec(spec, size)
		if !ok {
			return nil, nil
		}
		if part.Length == 0 {
			continue // starts past the end
		}
		if len(parts) == maxRanges || part.Length > size-total {
			return nil, nil
		}
		total += part.Length
		parts = append(parts, part)
	}
	if any && len(parts) == 0 {
		return nil, ErrNoOverlap
	}
	return parts, nil
}

func cutUnit(header string) (set string, ok bool) {
	const unit = "bytes="
	if len(header) < len(unit) || !strings.EqualFold(header[:len(unit)], unit) {
		return "", false
	}
	return header[len(unit):], true
}

// parseSpec parses "5-9", "5-" or "-5". A range past the end of the object has
// length 0.
func parseSpec(spec string, size int64) (blobstore.Range, bool) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return blobstore.Range{}, false
	}
	if first == "" {
		n, ok := parsePos(last)
		n = min(n, size)
		return blobstore.Range{Offset: size - n, Length: n}, ok
	}
	begin, ok := parsePos(first)
	if !ok {
		return blobstore.Range{}, false
	}
	end := size - 1
	if last != "" {
		n, ok := parsePos(last)
		if !ok || n < begin {
			return blobstore.Range{}, false
		}
		end = min(end, n)
	}
	if begin >= size {
		return blobstore.Range{}, true
	}
	return blobstore.Range{Offset: begin, Length: end - begin + 1}, true
}

// parsePos parses a position. Larger positions become the largest int64.
func parsePos(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// Expect predicts the range for a Range header, if the range does not depend on
// the size of the object. Length 0 means up to the end.
func Expect(header string) (blobstore.Range, bool) {
	if header == "" {
		return blobstore.Range{}, true
	}
	set, ok := cutUnit(header)
	if !ok || strings.Contains(set, ",") {
		return blobstore.Range{}, false
	}
	first, last, _ := strings.Cut(strings.Trim(set, " \t"), "-")
	begin, ok := parsePos(first)
	if !ok {
		return blobstore.Range{}, false
	}
	if last == "" {
		return blobstore.Range{Offset: begin}, true
	}
	end, ok := parsePos(last)
	if !ok || end < begin || end == 1<<63-1 {
		return blobstore.Range{}, false
	}
	return blobstore.Range{Offset: begin, Length: end - begin + 1}, true
}
