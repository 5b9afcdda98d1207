package signurl_test

// This file tests constraints on a body, with readers that behave in every way
// that io.Reader permits.

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/signurl"
)

func TestBody(t *testing.T) {
	sum := sha256.Sum256([]byte("hello"))
	empty := sha256.Sum256(nil)
	other := sha256.Sum256([]byte("jello"))
	for name, c := range map[string]struct {
		l        signurl.Grant
		in, want string // want: the reason, "" for none
	}{
		"exact":                      {signurl.Grant{Size: 5}, "hello", ""},
		"exact, short":               {signurl.Grant{Size: 5}, "hell", "has 4 bytes, want 5"},
		"exact, empty":               {signurl.Grant{Size: 5}, "", "has 0 bytes, want 5"},
		"exact, long":                {signurl.Grant{Size: 5}, "hello!", "longer than 5 bytes"},
		"maximum, below":             {signurl.Grant{MaxSize: 5}, "hi", ""},
		"maximum, at":                {signurl.Grant{MaxSize: 5}, "hello", ""},
		"maximum, above":             {signurl.Grant{MaxSize: 5}, strings.Repeat("hello", 1000), "longer than 5 bytes"},
		"exact below the maximum":    {signurl.Grant{Size: 2, MaxSize: 5}, "hello", "longer than 2 bytes"},
		"hash":                       {signurl.Grant{SHA256: sum[:]}, "hello", ""},
		"hash of nothing":            {signurl.Grant{SHA256: empty[:]}, "", ""},
		"other hash":                 {signurl.Grant{SHA256: other[:]}, "hello", "SHA-256 of the body differs"},
		"hash and length":            {signurl.Grant{SHA256: sum[:], Size: 5}, "hello", ""},
		"other hash and length":      {signurl.Grant{SHA256: other[:], Size: 5}, "hello", "SHA-256 of the body differs"},
		"hash and length, more":      {signurl.Grant{SHA256: sum[:], Size: 5}, "hello!", "longer than 5 bytes"},
		"other hash, at the maximum": {signurl.Grant{SHA256: other[:], MaxSize: 5}, "hello", "SHA-256 of the body differs"},
		"hash of nothing, something": {signurl.Grant{SHA256: empty[:]}, "h", "SHA-256 of the body differs"},
		"other hash of nothing":      {signurl.Grant{SHA256: other[:]}, "", "SHA-256 of the body differs"},
		"unconstrained":              {signurl.Grant{}, "hello", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.l.Method = http.MethodPut
			for how, wrap := range map[string]func(io.Reader) io.Reader{
				"plain":                   func(r io.Reader) io.Reader { return r },
				"byte by byte":            iotest.OneByteReader,
				"end with the last bytes": iotest.DataErrReader,
				"both":                    func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
				"empty reads":             func(r io.Reader) io.Reader { return &stutter{r: r} },
			} {
				for _, chunk := range []int{1, 2, 5, 6, 4096} {
					r := c.l.Body(wrap(strings.NewReader(c.in)))
					got, err := readAll(r, chunk)
					if c.want == "" {
						require.NoError(t, err, how)
						require.Equal(t, c.in, string(got), how)
						if name != "unconstrained" { // there it is the reader's own
							_, err = r.Read(make([]byte, 1))
							require.Equal(t, io.EOF, err, how)
						}
						continue
					}
					require.ErrorIs(t, err, signurl.ErrConstraint, how)
					require.ErrorContains(t, err, c.want, how)
					_, again := r.Read(make([]byte, 1))
					require.Equal(t, err, again, "the error stays")
					if n := c.l.Size; n > 0 {
						require.Less(t, len(got), int(n), "a refused body was handed out whole: %s, %d", how, chunk)
					}
					if m := c.l.MaxSize; m > 0 {
						require.Less(t, len(got), int(m), "a refused body was handed out to its limit: %s, %d", how, chunk)
					}
				}
			}
		})
	}
}

// A store that knows the length stops reading there, and never sees io.EOF.
func TestBodyFailsBeforeItsLastByte(t *testing.T) {
	other := sha256.Sum256([]byte("jello"))
	for name, c := range map[string]struct {
		l  signurl.Grant
		in string
	}{
		"other hash": {signurl.Grant{SHA256: other[:], Size: 5}, "hello"},
		"one more":   {signurl.Grant{Size: 5}, "hello!"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			_, err := io.CopyN(&b, c.l.Body(strings.NewReader(c.in)), 5)
			require.ErrorIs(t, err, signurl.ErrConstraint)
			_, err = io.ReadFull(c.l.Body(strings.NewReader(c.in)), make([]byte, 5))
			require.ErrorIs(t, err, signurl.ErrConstraint)
		})
	}
}

func TestBodyPassesErrorsOn(t *testing.T) {
	boom := errors.New("connection reset")
	l := signurl.Grant{Size: 5}
	for name, r := range map[string]func() io.Reader{
		"midway":                  func() io.Reader { return io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(boom)) },
		"where the end should be": func() io.Reader { return io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(boom)) },
		"with the last bytes": func() io.Reader {
			return iotest.DataErrReader(io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(boom)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(l.Body(r()), 64)
			require.ErrorIs(t, err, boom)
			assert.NotErrorIs(t, err, signurl.ErrConstraint)
			_, err = io.CopyN(io.Discard, l.Body(r()), 5)
			require.ErrorIs(t, err, boom, "a reader that counts must see it too")
		})
	}
	_, err := readAll(l.Body(io.MultiReader(strings.NewReader("hello"), never{})), 64)
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestBodyWithoutConstraintsIsTheReader(t *testing.T) {
	r := strings.NewReader("x")
	assert.Same(t, r, signurl.Grant{Method: "PUT", CreateOnly: true, ContentType: "a/b"}.Body(r))
	n, err := signurl.Grant{MaxSize: 5}.Body(r).Read(nil)
	assert.Zero(t, n)
	assert.NoError(t, err)
}

// stutter returns (0, nil) before every read.
type stutter struct {
	r  io.Reader
	on bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.on = !s.on; s.on {
		return 0, nil
	}
	return s.r.Read(p)
}

type never struct{}

func (never) Read([]byte) (int, error) { return 0, nil }
