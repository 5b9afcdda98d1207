package provider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/blobtrail/blobtrail/internal/limit"
	"github.com/blobtrail/blobtrail/internal/progress"
)

// The errors of content, which package driver exports.
var (
	ErrTooLarge = errors.New("content too large")
	ErrChecksum = errors.New("checksum mismatch")
)

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

// StoredSHA256 returns the digest that is kept in an object's metadata, or nil
// if there is none. One that is no digest is ErrChecksum.
func StoredSHA256(metadata map[string]string) ([]byte, error) {
	s := metadata[MetaSHA256]
	if s == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(s)
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%w: the digest kept with the object is not one", ErrChecksum)
	}
	return sum, nil
}

// ContextReader returns a reader of r that fails with the cause of ctx once ctx
// has ended. Without it a writer to something local never learns of the end. See
// [Source].
func ContextReader(ctx context.Context, r io.Reader) io.Reader { return NewSource(ctx, r) }
