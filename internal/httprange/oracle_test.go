package httprange_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/internal/httprange"
)

// lenient matches headers for which net/http departs from the RFC. It accepts
// signs and refuses numbers larger than int64. To a suffix of no bytes, or any
// suffix of an empty object, it responds with 206 and no content.
var lenient = regexp.MustCompile(`[+]|[0-9]{19}|[=, \t]-0+($|[^0-9])`)

// plain matches ranges that Parse must not ignore.
var plain = regexp.MustCompile(`^bytes=([0-9]{1,18}-|-[0-9]{1,18})$`)

// FuzzRange compares the ranges with the responses of http.ServeContent.
func FuzzRange(f *testing.F) {
	for _, s := range []string{
		"bytes=0-4", "bytes=2-", "bytes=-3", "bytes=-0", "bytes=9-9", "bytes=10-", "bytes=0-0,2-3", "bytes= 1-2 , 4-5,",
		"bytes=5-2", "bytes=,", "bytes=", "bytes", "byte=0-1", "bytes=0-99999999999999999999", "bytes=-99999999999999999999",
		"bytes=0-9,0-9", "bytes=20-,0-1", "bytes=--1", "bytes=+1-2", "bytes=1-+2", "bytes=0x1-2", "bytes=1-2-3", "bytes=\t1-2",
	} {
		for _, size := range []uint8{0, 1, 10, 255} {
			f.Add(s, size)
		}
	}
	content := bytes.Repeat([]byte("0123456789"), 26)
	f.Fuzz(func(t *testing.T, header string, size uint8) {
		parts, err := httprange.Parse(header, int64(size))
		total := int64(0)
		for _, p := range parts {
			require.True(t, p.Offset >= 0 && p.Length > 0 && p.Offset+p.Length <= int64(size), "%v", p)
			total += p.Length
		}
		require.LessOrEqual(t, total, int64(size))
		if err != nil {
			require.Empty(t, parts)
		}

		// Parse ignores a header that is not a range of bytes, as the RFC
		// requires. The standard library accepts some of these headers and
		// responds to others with 416.
		if size == 0 || !strings.HasPrefix(header, "bytes=") || lenient.MatchString(header) {
			return
		}
		rec := httptest.NewRecorder()
		req := httptest.NewRequest("GET", "/", nil)
		req.Header["Range"] = []string{header}
		rec.Header().Set("Content-Type", "text/plain")
		http.ServeContent(rec, req, "", time.Time{}, bytes.NewReader(content[:size]))
		switch {
		case len(parts) == 1:
			require.Equal(t, http.StatusPartialContent, rec.Code)
			want := content[parts[0].Offset : parts[0].Offset+parts[0].Length]
			require.Equal(t, string(want), rec.Body.String())
		case len(parts) > 1:
			require.Equal(t, http.StatusPartialContent, rec.Code)
			require.Equal(t, len(parts), strings.Count(rec.Body.String(), "Content-Range: "))
		case err != nil:
			require.Equal(t, http.StatusRequestedRangeNotSatisfiable, rec.Code)
		case plain.MatchString(header):
			t.Fatalf("%q is ignored", header)
		}
	})
}
