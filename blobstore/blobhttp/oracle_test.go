package blobhttp_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// beside is where net/http is beside the RFC: it takes signs, refuses numbers beyond int64, and answers a suffix of no
// bytes, or any of an empty content, with 206 and nothing.
var beside = regexp.MustCompile(`[+]|[0-9]{19}|[=, \t]-0+($|[^0-9])`)

// plain are ranges that must not be ignored.
var plain = regexp.MustCompile(`^bytes=([0-9]{1,18}-|-[0-9]{1,18})$`)

// FuzzRange compares the answers to Range headers with those of http.ServeContent.
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
		parts, err := blobhttp.ParseRange(header, int64(size))
		total := int64(0)
		for _, p := range parts {
			require.True(t, p.Offset >= 0 && p.Length > 0 && p.Offset+p.Length <= int64(size), "%v", p)
			total += p.Length
		}
		require.LessOrEqual(t, total, int64(size))
		if err != nil {
			require.Empty(t, parts)
		}

		// What is no range of bytes we ignore, as the RFC wants; net/http is kinder to some of it, and answers 416 to the rest.
		if size == 0 || !strings.HasPrefix(header, "bytes=") || beside.MatchString(header) {
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
