package provider

import (
	"context"
	"io"

	"github.com/blobtrail/blobtrail/internal/progress"
)

// Source reads the content of a write. Once its context ends, Read fails with
// the cause of the context. If the content returns neither bytes nor an error
// 100 times in a row, Read fails with io.ErrNoProgress. A Source is not safe
// for concurrent use.
type Source struct {
	ctx   context.Context
	r     io.Reader
	ahead []byte // read, but not yet returned
	end   bool
	err   error
	empty progress.Count
}

// NewSource returns a Source of r.
func NewSource(ctx context.Context, r io.Reader) *Source { return &Source{ctx: ctx, r: r} }

// Err returns the error of the content, or nil.
func (s *Source) Err() error { return s.err }

// Ended reports whether the content returned io.EOF. See AtEnd.
func (s *Source) Ended() bool { return s.end && len(s.ahead) == 0 }

// Read implements [io.Reader].
func (s *Source) Read(p []byte) (int, error) {
	if len(s.ahead) > 0 {
		n := copy(p, s.ahead)
		s.ahead = s.ahead[n:]
		return n, nil
	}
	if s.err == nil && !s.end && s.ctx.Err() != nil {
		s.err = context.Cause(s.ctx)
	}
	switch {
	case s.err != nil:
		return 0, s.err
	case s.end:
		return 0, io.EOF
	}
	n, err := s.r.Read(p)
	switch err = s.empty.Check(p, n, err); err {
	case nil:
	case io.EOF:
		s.end = true
	default:
		s.err = err
	}
	return n, err
}

// Fill reads into p until p is full or the content ends. The end of the content
// is not an error.
func (s *Source) Fill(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = s.Read(p[n:])
		n += m
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// AtEnd reports whether all content has been read. It reads one byte ahead if
// necessary.
func (s *Source) AtEnd() (bool, error) {
	if len(s.ahead) == 0 && !s.end {
		next := make([]byte, 1)
		n, err := s.Fill(next)
		if err != nil {
			return false, err
		}
		s.ahead = next[:n]
	}
	return len(s.ahead) == 0, nil
}

// Head reads the beginning of the content into a buffer of small or, if it is
// longer, of large. whole reports whether that is all of it. The buffer is valid
// until release is called.
func (s *Source) Head(small, large *Buffers) (head []byte, release func(), whole bool, err error) {
	first := small.Get()
	n, err := s.Fill(*first)
	if err != nil || s.Ended() {
		return (*first)[:n], func() { small.Put(first) }, err == nil, err
	}
	all := large.Get()
	copy(*all, *first)
	small.Put(first)
	m, err := s.Fill((*all)[n:])
	if err == nil {
		whole, err = s.AtEnd()
	}
	return (*all)[:n+m], func() { large.Put(all) }, whole, err
}
