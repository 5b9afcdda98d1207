package provider

import (
	"io"
	"maps"
	"sync"
)

// Buffers is a pool of buffers of one size.
type Buffers struct {
	Size int // in bytes; must not change
	pool sync.Pool
}

// Get returns a buffer with arbitrary content.
func (b *Buffers) Get() *[]byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return buf
	}
	buf := make([]byte, b.Size)
	return &buf
}

// Put returns a buffer to the pool.
func (b *Buffers) Put(buf *[]byte) { b.pool.Put(buf) }

// Buffers shared by several packages.
var (
	SmallBuffers = &Buffers{Size: 64 << 10}
	CopyBuffers  = &Buffers{Size: 256 << 10}
	BlockBuffers = &Buffers{Size: 4 << 20}
)

// Copy copies with a buffer of CopyBuffers. It hides all other methods of dst
// and src, because the Go CDK would use them and allocate 1 MiB each time.
func Copy(dst io.Writer, src io.Reader) (int64, error) { return CopyBy(CopyBuffers, dst, src) }

// CopyBy is like Copy, with a buffer of the given pool.
func CopyBy(buffers *Buffers, dst io.Writer, src io.Reader) (int64, error) {
	buf := buffers.Get()
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, *buf)
}

// Merged returns a new map with the entries of both maps. If both have an
// entry, the entry of b is used.
func Merged(a, b map[string]string) map[string]string {
	m := make(map[string]string, len(a)+len(b))
	maps.Copy(m, a)
	maps.Copy(m, b)
	return m
}

// WithFinal returns a copy of metadata with the entries returned by final,
// which may be nil. Call it once, after the last byte; see WriteOptions of
// package driver.
func WithFinal(metadata map[string]string, final func() map[string]string) map[string]string {
	if final == nil {
		return Merged(metadata, nil)
	}
	return Merged(metadata, final())
}
