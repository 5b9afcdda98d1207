package signurl

// The constraints on a body, enforced on the stream: a header is the sender's word, and may be missing.

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

// Body wraps the body of a PUT so that reading fails, with an error that wraps ErrConstraint, if it is not as the link
// demands. It passes on r itself if the link demands nothing. It buffers nothing and closes nothing.
//
// A body that must have an exact length, or reaches the greatest one, is checked to its end before its last bytes are
// handed out: a reader that stops after the agreed number of bytes cannot miss the error. In the other cases the reader
// has to go on until io.EOF, and discard what it stored if another error comes. No more bytes than the limit are handed
// out, and none together with an error other than io.EOF.
//
// The hash is that of the bytes as r gives them. The reader is not for concurrent use.
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
	limit int64 // -1: none
	exact bool  // the limit must be reached
	hash  hash.Hash
	want  []byte
	err   error // what every further Read returns
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
		n = 0 // not judged: were these the last bytes, a reader that counts would take the body for whole
	}
	b.err = err
	return n, err
}

var errTooLong = errors.New("too long") // end tells Read, which knows the words

// end reads on at the limit: io.EOF is what should come.
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

// verdict judges the whole body; io.EOF is a pass.
func (b *body) verdict() error {
	if b.exact && b.n < b.limit {
		return broken("the body has %d bytes instead of %d", b.n, b.limit)
	}
	if b.hash != nil && !bytes.Equal(b.hash.Sum(nil), b.want) {
		return broken("the body does not have the agreed SHA-256")
	}
	return io.EOF
}
