package blobhttp

// Range requests by RFC 9110, section 14.

import (
	"errors"
	"strconv"
	"strings"

	"github.com/blobtrail/blobtrail/blobstore"
)

// maxRanges is how many ranges are answered. For more, as for ranges that add up
// to more than the whole, the whole is answered: each costs an open, and they
// help nobody but an attacker.
const maxRanges = 32

var errNoOverlap = errors.New("no range overlaps the content")

// parseRange returns the parts of an object of size bytes that a Range header
// asks for. None means the whole: there is no header, it is not of bytes, is not
// written as it should be, or asks for too much. errNoOverlap is for an answer
// 416.
func parseRange(header string, size int64) ([]blobstore.Range, error) {
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
			continue // as lists allow
		}
		any = true
		part, ok := parseSpec(spec, size)
		if !ok {
			return nil, nil
		}
		if part.Length == 0 {
			continue // begins behind the end
		}
		if len(parts) == maxRanges || part.Length > size-total {
			return nil, nil
		}
		total += part.Length
		parts = append(parts, part)
	}
	if any && len(parts) == 0 {
		return nil, errNoOverlap
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

// parseSpec reads "5-9", "5-" or "-5". A length of 0 is a range that begins
// behind the end.
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

// parsePos reads a position. One that is too large for an int64 is as good as
// the largest.
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

// expected returns the part that a Range header most likely ends up as, if that
// can be told without knowing the size; Length 0 is to the end.
func expected(header string) (blobstore.Range, bool) {
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
