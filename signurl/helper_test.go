package signurl_test

// This file contains helpers: fixed keys, a clock controlled by the tests, and
// requests as received by a server.

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/signurl"
)

const base = "https://files.example.com/files/"

var start = time.Date(2029, 12, 31, 12, 0, 0, 0, time.UTC)

func testKey(t testing.TB, id string, first byte) signurl.Key {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = first + byte(i)
	}
	k, err := signurl.NewKey(id, secret)
	require.NoError(t, err)
	return k
}

func newSigner(t testing.TB, baseURL string, opts *signurl.Options, keys ...signurl.Key) *signurl.Signer {
	if len(keys) == 0 {
		keys = []signurl.Key{testKey(t, "k1", 0)}
	}
	var o signurl.Options
	if opts != nil {
		o = *opts
	}
	if o.Now == nil {
		o.Now = func() time.Time { return start }
	}
	s, err := signurl.New(baseURL, keys, &o)
	require.NoError(t, err)
	return s
}

func sign(t testing.TB, s *signurl.Signer, l signurl.Grant) string {
	if l.Expires.IsZero() {
		l.Expires = start.Add(time.Hour)
	}
	link, err := s.Sign(l)
	require.NoError(t, err)
	return link
}

// request returns the request that a server receives for the URL, without a
// body.
func request(t testing.TB, method, link string, header ...string) *http.Request {
	_, target, ok := strings.Cut(link, "://")
	require.True(t, ok, "not absolute")
	r, err := readRequest(method, target[strings.IndexByte(target, '/'):], header...)
	require.NoError(t, err)
	return r
}

func readRequest(method, target string, header ...string) (*http.Request, error) {
	h := ""
	for _, line := range header {
		h += line + "\r\n"
	}
	return http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: internal:8080\r\n" + h + "\r\n")))
}

func query(t testing.TB, link string) url.Values {
	u, err := url.Parse(link)
	require.NoError(t, err)
	return u.Query()
}

// upload returns a grant with every constraint of a PUT.
func upload() signurl.Grant {
	return signurl.Grant{
		Method: "PUT", Key: "in/März 1.pdf", Expires: start.Add(time.Hour), ID: "G1",
		ContentType: "application/pdf", Size: 5, MaxSize: 10,
		SHA256: bytes.Repeat([]byte{0xab}, 32), CreateOnly: true,
		UserID: "u&1=2", IP: "2001:db8::1", MaxUses: 3,
	}
}

// download returns a grant with every field of a GET.
func download() signurl.Grant {
	return signurl.Grant{
		Method: "GET", Key: "out/a+b c%2F~'.pdf", Expires: start.Add(time.Hour), ID: "G2",
		Filename: "Rechnung März.pdf", Inline: true, ResponseType: `text/plain; charset="utf-8"`,
		UserID: "u1", IP: "192.0.2.7", MaxUses: 1,
	}
}

func putHeaders() []string {
	return []string{"Content-Type: application/pdf", "Content-Length: 5"}
}

func readAll(r io.Reader, chunk int) ([]byte, error) {
	var got []byte
	buf := make([]byte, chunk)
	for {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}
