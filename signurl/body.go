package signurl

// This file implements the constraints on a request body. They are enforced on
// the stream, because headers come from the client and may be missing or wrong.

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

// Body wraps the body of a PUT request. Reading fails with an error that wraps
// [ErrConstraint] if the body violates the constraints of the link. If the link
// has none, Body returns r itself. It buffers nothing and closes nothing.
//
// If the link has an exact length, or the body reaches the maximum length, Body
// checks the whole body before it returns the last bytes. A reader that stops
// after the agreed number of bytes therefore cannot miss the error. In all
// other cases, the reader must continue until io.EOF and discard the stored
// content after any other error. Body never returns more bytes than the limit,
// and no bytes together with an error other than io.EOF.
//
// The hash covers the bytes as r returns them. The reader is not safe for
// concurrent use.
func (l Grant) Body(r io.Reader) io.Reader {
	b := &body{r: r, limit: -1, want: l.SHA256}
	switch {
	case l.Size > 0:
		b.limit, b.exact = l.Size, true
	case l.MaxSize > 0:
		b.limit = l.MaxSize
	case l.SHA256 == nil:
		return r
	}
	if b.want != nil {
		b.hash = sha256.New()
	}
	return b
}

type body struct {
	r     io.Reader
	n     int64 // bytes read so far
	limit int64 // the limit in bytes; -1 means unlimited
	exact bool  // the body must have exactly limit bytes
	hash  hash.Hash
	want  []byte
	err   error // returned by every further Read
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.limit >= 0 && int64(len(p)) > b.limit-b.n {
		p = p[:b.limit-b.n]
	}
	var n int
	var err error
	if len(p) > 0 {
		n, err = b.r.Read(p)
		b.n += int64(n)
		if b.hash != nil {
			b.hash.Write(p[:n])
		}
	}
	if err == nil && b.n == b.limit {
		err = b.end()
	}
	switch {
	case errors.Is(err, io.EOF):
		err = b.verdict()
	case errors.Is(err, errTooLong):
		err = broken("the body is longer than %d bytes", b.limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		n = 0 // not verified: a reader that counts bytes would otherwise consider the body complete
	}
	b.err = err
	return n, err
}

var errTooLong = errors.New("too long") // Read converts it to an error with the limit

// end reads on at the limit, where io.EOF must follow.
func (b *body) end() error {
	var one [1]byte
	for range 100 {
		n, err := b.r.Read(one[:])
		if n > 0 {
			return errTooLong
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// verdict checks the whole body. It returns io.EOF if the body is valid.
func (b *body) verdict() error {
	if b.exact && b.n < b.limit {
		return broken("the body has %d bytes, want %d", b.n, b.limit)
	}
	if b.hash != nil && !bytes.Equal(b.hash.Sum(nil), b.want) {
		return broken("the SHA-256 of the body differs from the link")
	}
	return io.EOF
}
