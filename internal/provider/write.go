// Package provider holds what the providers of this module and package driver
// share. A provider outside this module needs none of it.
package provider

import (
	"context"
	"errors"
	"io"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/internal/progress"
)

// Write uploads what r holds by upload, the Go CDK's Upload, from a reader that cancels the
// upload when it fails: with some drivers the writer of the Go CDK would commit
// a truncated object, with others canceling it panics or strands parts. mapError
// gives the errors of the bucket their meaning.
func Write(ctx context.Context, upload func(context.Context, string, io.Reader, *blob.WriterOptions) error, key string, r io.Reader, opts *blob.WriterOptions, mapError func(error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	src := &cancelingReader{r: r, ctx: ctx, cancel: cancel}
	err := upload(ctx, key, src, opts)
	if src.err != nil {
		return src.err
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // of which the driver gives no more than ctx.Err()
	}
	if err == nil && !src.done {
		return errors.New("the driver stopped reading before the end")
	}
	return mapError(err)
}

// cancelingReader cancels its own context when the source fails, since that is
// what makes every driver give the upload up.
type cancelingReader struct {
	r      io.Reader
	ctx    context.Context
	cancel context.CancelCauseFunc
	err    error // what the source failed with
	done   bool  // the source ended
	empty  progress.Count
}

func (c *cancelingReader) Read(p []byte) (int, error) {
	if c.err == nil && c.ctx.Err() != nil {
		c.err = context.Cause(c.ctx)
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	err = c.empty.Check(p, n, err)
	switch {
	case err == io.EOF:
		c.done = true
	case err != nil:
		c.err = err
		c.cancel(err)
	}
	return n, err
}
