// Package provider holds what the providers of this module and package driver
// share. A provider outside this module needs none of it.
package provider

import (
	"context"
	"errors"
	"io"

	"gocloud.dev/blob"
)

// Write uploads what r holds by upload, the Go CDK's Upload, from a reader that cancels the
// upload when it fails: with some drivers the writer of the Go CDK would commit
// a truncated object, with others canceling it panics or strands parts. mapError
// gives the errors of the bucket their meaning.
func Write(ctx context.Context, upload func(context.Context, string, io.Reader, *blob.WriterOptions) error, key string, r io.Reader, opts *blob.WriterOptions, mapError func(error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	src := &cancelingSource{NewSource(ctx, r), cancel}
	err := upload(ctx, key, src, opts)
	if src.Err() != nil {
		return src.Err()
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // of which the driver gives no more than ctx.Err()
	}
	if err == nil && !src.Ended() {
		return errors.New("the driver stopped reading before the end")
	}
	return mapError(err)
}

// cancelingSource cancels its own context when the source fails, since that is
// what makes every driver give the upload up.
type cancelingSource struct {
	*Source
	cancel context.CancelCauseFunc
}

func (c *cancelingSource) Read(p []byte) (int, error) {
	n, err := c.Source.Read(p)
	if c.Err() != nil {
		c.cancel(c.Err())
	}
	return n, err
}
