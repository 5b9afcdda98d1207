package driver

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/blobtrail/blobtrail/internal/limit"
	"github.com/blobtrail/blobtrail/internal/progress"
)

// ErrTooLarge: the content is longer than it may be or was said to be.
var ErrTooLarge = errors.New("content too large")

// Content is a reader that computes the SHA-256 of what passes and checks it
// against what is known of it, so that a bad upload fails before it is complete:
// instead of io.EOF, Read then gives ErrTooLarge, io.ErrUnexpectedEOF or
// ErrChecksum, wrapped. If its source returns neither bytes nor an error 100
// times in a row, Read fails with io.ErrNoProgress. It is not safe for
// concurrent use.
type Content struct {
	r       io.Reader
	size    int64 // exact, or -1
	max     int64 // or -1
	want    []byte
	hash    hash.Hash
	n       int64
	err     error
	sum     []byte
	pending error // the source's error, held back until its last bytes were taken
	empty   progress.Count
}

// NewContent returns a Content that reads r. A negative size or limit and a nil
// digest are not checked.
func NewContent(r io.Reader, size, most int64, sha []byte) *Content {
	return &Content{r: r, size: size, max: most, want: sha, hash: sha256.New()}
}

// Read implements [io.Reader]. It never gives bytes together with an error.
func (c *Content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.pending != nil {
		c.err = c.finish(c.pending)
		return 0, c.err
	}
	n, err := c.r.Read(p)
	err = c.empty.Check(p, n, err)
	c.n += int64(n)
	c.hash.Write(p[:n])
	switch {
	case c.size >= 0 && c.n > c.size:
		c.err = fmt.Errorf("%w: more than the %d bytes that were announced", ErrTooLarge, c.size)
	case c.max >= 0 && c.n > c.max:
		c.err = limit.Size(ErrTooLarge, "more bytes than allowed", c.max)
	}
	if c.err != nil {
		return 0, c.err
	}
	if n > 0 {
		c.pending = err
		return n, nil
	}
	if err != nil {
		c.err = c.finish(err)
	}
	return 0, c.err
}

func (c *Content) finish(err error) error {
	if err != io.EOF {
		// Also an error that wraps io.EOF, as of a connection that broke off: the
		// end of the content is io.EOF itself.
		return err
	}
	if c.size >= 0 && c.n < c.size {
		return fmt.Errorf("%w: %d bytes of the %d that were announced", io.ErrUnexpectedEOF, c.n, c.size)
	}
	sum := c.hash.Sum(nil)
	if c.want != nil && !bytes.Equal(c.want, sum) {
		return fmt.Errorf("%w: SHA-256 is %x, not %x", ErrChecksum, sum, c.want)
	}
	c.sum = sum
	return io.EOF
}

// Size returns the number of bytes that were read.
func (c *Content) Size() int64 { return c.n }

// SHA256 returns the digest of the whole content once Read has returned io.EOF,
// before that nil.
func (c *Content) SHA256() []byte { return c.sum }

// Complete reports whether the source came to its end and was what it should be.
func (c *Content) Complete() bool { return c.sum != nil }
