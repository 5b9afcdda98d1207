package provider

import (
	"io"
	"maps"
	"sync"
)

// Buffers is a pool of buffers of one size.
type Buffers struct {
	Size int // bytes; it must not change
	pool sync.Pool
}

// Get returns a buffer, whose content is arbitrary.
func (b *Buffers) Get() *[]byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return buf
	}
	buf := make([]byte, b.Size)
	return &buf
}

// Put gives a buffer back.
func (b *Buffers) Put(buf *[]byte) { b.pool.Put(buf) }

// The buffers that several packages share.
var (
	SmallBuffers = &Buffers{Size: 64 << 10}
	CopyBuffers  = &Buffers{Size: 256 << 10}
	BlockBuffers = &Buffers{Size: 4 << 20}
)

// Copy copies by a buffer of CopyBuffers. It doesn't use any other method of dst
// and src, with which the Go CDK would allocate a mebibyte each time.
func Copy(dst io.Writer, src io.Reader) (int64, error) { return CopyBy(CopyBuffers, dst, src) }

// CopyBy is Copy by a buffer of buffers.
func CopyBy(buffers *Buffers, dst io.Writer, src io.Reader) (int64, error) {
	buf := buffers.Get()
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, *buf)
}

// Merged returns a new map with the entries of both. Those of b win.
func Merged(a, b map[string]string) map[string]string {
	m := make(map[string]string, len(a)+len(b))
	maps.Copy(m, a)
	maps.Copy(m, b)
	return m
}

// WithFinal returns metadata in addition to what final returns, if it is not nil. It
// is to be called once, after the last byte; see WriteOptions of package driver.
func WithFinal(metadata map[string]string, final func() map[string]string) map[string]string {
	if final == nil {
		return Merged(metadata, nil)
	}
	return Merged(metadata, final())
}
