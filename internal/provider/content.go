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

// Errors of content. Package driver exports them.
var (
	ErrTooLarge = errors.New("content too large")
	ErrChecksum = errors.New("checksum mismatch")
)

// Content is a reader that computes the SHA-256 of its content and checks size,
// limit and digest. A bad upload therefore fails before it is complete: instead
// of io.EOF, Read returns an error that wraps ErrTooLarge, io.ErrUnexpectedEOF
// or ErrChecksum.
//
// If the source returns neither bytes nor an error 100 times in a row, Read
// fails with io.ErrNoProgress. A Content is not safe for concurrent use.
type Content struct {
	r       io.Reader
	size    int64 // exact length, or -1
	max     int64 // maximum length, or -1
	want    []byte
	hash    hash.Hash
	n       int64
	err     error
	sum     []byte
	pending error // error of the source, delayed until its last bytes have been returned
	empty   progress.Count
}

// NewContent returns a Content that reads r. It does not check a negative size,
// a negative limit or a nil digest.
func NewContent(r io.Reader, size, most int64, sha []byte) *Content {
	return &Content{r: r, size: size, max: most, want: sha, hash: sha256.New()}
}

// Read implements [io.Reader]. It never returns bytes and an error together.
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
		c.err = fmt.Errorf("%w: content exceeds the announced %d bytes", ErrTooLarge, c.size)
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
		// An error may wrap io.EOF, for example if a connection broke. Only
		// io.EOF itself ends the content.
		return err
	}
	if c.size >= 0 && c.n < c.size {
		return fmt.Errorf("%w: %d bytes of the announced %d", io.ErrUnexpectedEOF, c.n, c.size)
	}
	sum := c.hash.Sum(nil)
	if c.want != nil && !bytes.Equal(c.want, sum) {
		return fmt.Errorf("%w: SHA-256 is %x, want %x", ErrChecksum, sum, c.want)
	}
	c.sum = sum
	return io.EOF
}

// Size returns the number of bytes read so far.
func (c *Content) Size() int64 { return c.n }

// SHA256 returns the digest of the whole content after Read has returned
// io.EOF. Before that it returns nil.
func (c *Content) SHA256() []byte { return c.sum }

// Complete reports whether the source has ended and passed all checks.
func (c *Content) Complete() bool { return c.sum != nil }

// StoredSHA256 returns the digest stored in the metadata of an object. Without
// a stored digest it returns nil. If the stored value is not a digest, the
// error is ErrChecksum.
func StoredSHA256(metadata map[string]string) ([]byte, error) {
	s := metadata[MetaSHA256]
	if s == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(s)
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%w: the stored digest of the object is not a SHA-256", ErrChecksum)
	}
	return sum, nil
}

// ContextReader returns a reader of r that fails with the cause of ctx once ctx
// has ended. Writers to local storage need it, because they do not watch the
// context. See [Source].
func ContextReader(ctx context.Context, r io.Reader) io.Reader { return NewSource(ctx, r) }
