package signurl_test

// This file fuzzes verification: unsigned links are refused, and signed grants
// survive a round trip.

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/signurl"
)

func FuzzVerify(f *testing.F) {
	s := newSigner(f, "https://files.example.com/api/files/", nil, testKey(f, "k1", 0), testKey(f, "k2", 1))
	issued := map[string]signurl.Grant{}
	foreign := newSigner(f, "https://files.example.com/api/files/", nil, testKey(f, "k1", 7))
	for _, l := range []signurl.Grant{
		upload(), download(),
		{Method: "DELETE", Key: "files/k", Expires: start.Add(time.Hour), ID: "G3"},
		{Method: "HEAD", Key: "k", Expires: start.Add(time.Hour), ID: "G4"},
	} {
		issued[l.ID] = l
		for _, signer := range []*signurl.Signer{s, foreign} {
			link := sign(f, signer, l)
			path, query, _ := strings.Cut(strings.TrimPrefix(link, "https://files.example.com"), "?")
			f.Add(l.Method, path, query, "application/pdf", int64(5))
			f.Add("GET", strings.TrimPrefix(path, "/api"), "a=b&"+query, "text/html", int64(0))
		}
	}
	f.Add("GET", "/api/files/a%2F..%2fb\\%00", "bt-v=1&BT-V=1&bt-sig=%4", "", int64(0))
	f.Fuzz(func(t *testing.T, method, path, query, contentType string, length int64) {
		r, err := readRequest("GET", path+"?"+query)
		if err != nil { // what no server would pass on, a handler might still make
			r = &http.Request{URL: &url.URL{Path: path, RawPath: path, RawQuery: query}}
		}
		r.Method, r.ContentLength, r.Header = method, length, http.Header{"Content-Type": {contentType}}
		l, err := s.Verify(r)
		if !errors.Is(err, signurl.ErrSignature) {
			want, ok := issued[l.ID]
			require.True(t, ok, "taken for authentic, but never signed")
			require.Equal(t, want, l)
			if err == nil {
				fits := method == l.Method || l.Method == "GET" && (method == "HEAD" || method == "")
				require.True(t, fits, "a %s link was used for %q", l.Method, method)
			}
			return
		}
		require.Zero(t, l)
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint8(0), "k", "", int64(3600), "", int64(0), int64(0), []byte(nil), false, "a.pdf", true, "text/plain", "u", "::1", 1)
	f.Add(uint8(2), "a/b c+%2F", "G", int64(1), "a/b; c=d", int64(1), int64(1), make([]byte, 32), true, "", false, "", "ü", "1.2.3.4", 0)
	f.Add(uint8(1), "files/k", "g.g", int64(604800), "", int64(0), int64(0), []byte(nil), false, "März 1.pdf", false, "", "", "::ffff:1.2.3.4", 9)
	f.Add(uint8(3), "~", "", int64(60), "", int64(0), int64(0), []byte(nil), false, "", false, "", "", "", 0)
	f.Fuzz(func(t *testing.T, method uint8, key, grant string, seconds int64, contentType string, length, maxLength int64, sum []byte,
		createOnly bool, filename string, inline bool, responseType, user, ip string, uses int) {
		s := newSigner(t, base, nil)
		want := signurl.Grant{
			Method: []string{"GET", "HEAD", "PUT", "DELETE"}[method%4], Key: key, ID: grant,
			Expires: time.Unix(start.Unix()+seconds, 0).UTC(), ContentType: contentType, MaxSize: maxLength, CreateOnly: createOnly,
			Filename: filename, Inline: inline, ResponseType: responseType, UserID: user, IP: ip, MaxUses: uses,
		}
		want.Size = length
		if len(sum) > 0 {
			want.SHA256 = sum
		}
		link, err := s.Sign(want)
		if err != nil {
			require.Empty(t, link)
			return
		}
		require.Regexp(t, `^https://files\.example\.com/files/[A-Za-z0-9._~/%-]+\?[A-Za-z0-9._~&=%-]+$`, link)
		u, err := url.Parse(link)
		require.NoError(t, err)
		r, err := readRequest(want.Method, u.RequestURI())
		require.NoError(t, err)
		r.ContentLength = -1
		if length > 0 {
			r.ContentLength = length
		}
		r.Header.Set("Content-Type", contentType)
		got, err := s.Verify(r)
		require.NoError(t, err)
		if grant == "" {
			require.Len(t, got.ID, 26)
			want.ID = got.ID
		}
		if ip != "" { // written in its canonical form
			require.NoError(t, got.CheckActor(user, ip))
			want.IP = got.IP
		}
		require.Equal(t, want, got)
		again, err := s.Sign(got)
		require.NoError(t, err)
		require.Equal(t, link, again, "one link has one URL")
	})
}
