// Package provider contains code shared by package driver and the providers of
// this module. Providers in other modules do not need it.
package provider

import (
	"context"
	"errors"
	"io"

	"gocloud.dev/blob"
)

// Write uploads the content of r with upload, the Upload method of a Go CDK
// bucket. If r fails, Write cancels the context of the upload. Closing the
// writer instead would commit a truncated object with some drivers. Canceling
// the writer would panic or leave parts behind with others. mapError converts
// an error of the bucket to the contract.
func Write(ctx context.Context, upload func(context.Context, string, io.Reader, *blob.WriterOptions) error, key string, r io.Reader, opts *blob.WriterOptions, mapError func(error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	src := &cancelingSource{NewSource(ctx, r), cancel}
	err := upload(ctx, key, src, opts)
	if src.Err() != nil {
		return src.Err()
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // the driver returns only ctx.Err()
	}
	if err == nil && !src.Ended() {
		return errors.New("the driver did not read the content to its end")
	}
	return mapError(err)
}

// cancelingSource cancels the context of the upload when the source fails.
// Every driver then abandons the upload.
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
