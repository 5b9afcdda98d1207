// Package progress ends reads from sources that never make progress.
package progress

import "io"

// limit bounds the consecutive empty reads, as package bufio does.
const limit = 100

// Count counts the consecutive reads of a source that returned neither bytes
// nor an error. The zero value is ready to use.
type Count int

// Check records a Read into p that returned n and err. It returns err, or
// [io.ErrNoProgress] after 100 empty reads in a row.
func (c *Count) Check(p []byte, n int, err error) error {
	if n > 0 || err != nil || len(p) == 0 {
		*c = 0
		return err
	}
	if *c++; *c >= limit {
		return io.ErrNoProgress
	}
	return nil
}

// Reader returns a reader of r that fails with [io.ErrNoProgress] after 100
// empty reads in a row.
func Reader(r io.Reader) io.Reader { return &reader{r: r} }

type reader struct {
	r     io.Reader
	empty Count
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	return n, r.empty.Check(p, n, err)
}
