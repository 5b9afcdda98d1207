package sqlaudit

// This file implements the publishing of checkpoints. Copies in a bucket are
// out of reach for the owner of the database.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Checkpoints is the location of published checkpoints. Use the same value for
// [PublishOptions.To] and [VerifyOptions.Published].
type Checkpoints struct {
	// Bucket contains the checkpoints. The database's administrator should not
	// be able to write to it. A bucket that retains its objects, by object lock
	// or a retention policy, is best. The journal does not close the bucket.
	// Keep the bucket open until the journal is closed.
	Bucket *blob.Bucket

	// Prefix is the start of the key of every object, such as "checkpoints/".
	// Default: none.
	Prefix string
}

// PublishOptions determine where and how often checkpoints are published.
type PublishOptions struct {
	// To is the location of the checkpoints. Required.
	To Checkpoints

	// Every limits the time until a checkpoint is published. Default: 10 s.
	//
	// If a process was killed, another process with Publish publishes its last
	// checkpoint, 6 to 12 times Every later or when that process starts. It
	// does so only for writers certified by [Options.DeploymentKey] or one of
	// [Options.TrustedKeys], because anyone who can write to the database can
	// add other writers.
	Every time.Duration

	// Entries is the number of new entries after which a checkpoint is
	// published immediately. Default: 1,000.
	Entries int
}

func (o *PublishOptions) withDefaults() (*PublishOptions, error) {
	if o == nil {
		return nil, nil
	}
	out := *o
	switch {
	case out.To.Bucket == nil:
		return nil, errors.New("sqlaudit: PublishOptions.To.Bucket is nil: set the bucket for the checkpoints")
	case out.Every < 0:
		return nil, fmt.Errorf("sqlaudit: invalid PublishOptions.Every %v: want a positive duration, or 0 for 10 s", out.Every)
	case out.Entries < 0:
		return nil, fmt.Errorf("sqlaudit: invalid PublishOptions.Entries %d: want a positive number, or 0 for 1000", out.Entries)
	}
	if out.Every == 0 {
		out.Every = 10 * time.Second
	}
	if out.Entries == 0 {
		out.Entries = 1000
	}
	return &out, nil
}

// certificateObject is the last part of the key of a writer's certificate.
const certificateObject = "certificate"

// objectKey returns the key of a published checkpoint. The leading zeros make
// the keys sort by size.
func objectKey(prefix, writer string, size int64) string {
	return fmt.Sprintf("%s%s/%020d", prefix, writer, size)
}

// publisher holds the last unpublished checkpoint of each writer.
type publisher struct {
	opts    *PublishOptions
	logger  *slog.Logger
	timeout time.Duration

	wake chan struct{}
	done chan struct{} // the loop has ended
	one  sync.Mutex    // held while publishing, so that each object is written once

	mu      sync.Mutex
	current string // the writer that offered a checkpoint last
	waiting map[string]*unpublished
}

type unpublished struct {
	certificate string // published before the first checkpoint; then ""
	checkpoint  checkpointRow
	published   int64
}

func newPublisher(opts *PublishOptions, logger *slog.Logger, timeout time.Duration) *publisher {
	return &publisher{
		opts: opts, logger: logger, timeout: timeout, wake: make(chan struct{}, 1), done: make(chan struct{}), waiting: make(map[string]*unpublished),
	}
}

// offer passes a stored checkpoint to the publisher.
func (p *publisher) offer(i *identity, c *checkpointRow) {
	p.mu.Lock()
	u := p.waiting[c.WriterID]
	if u == nil {
		u = &unpublished{certificate: i.Certificate}
		p.waiting[c.WriterID], p.current = u, c.WriterID
		for id := range p.waiting {
			p.forget(id)
		}
	}
	u.checkpoint = *c
	due := c.Size-u.published >= int64(p.opts.Entries)
	p.mu.Unlock()
	if due {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// forget removes a writer if all its offered checkpoints are published, unless
// it is this process's current writer. If an attempt with unknown outcome
// stored more entries of the removed writer, publishGone publishes them. The
// caller holds p.mu.
func (p *publisher) forget(id string) {
	if u := p.waiting[id]; id != p.current && u.published == u.checkpoint.Size {
		delete(p.waiting, id)
	}
}

// run publishes until ctx ends. After a failure it waits for the next tick.
func (p *publisher) run(ctx context.Context) {
	defer close(p.done)
	ticker := time.NewTicker(p.opts.Every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-p.wake:
			if failing { // do not flood a failing bucket
				continue
			}
		}
		err := p.publish(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			p.logger.LogAttrs(ctx, slog.LevelError, "sqlaudit: publishing checkpoints failed, retrying", slog.Any("error", err), slog.Int64("unpublished_entries", p.behind()))
		case err == nil && failing:
			p.logger.LogAttrs(ctx, slog.LevelInfo, "sqlaudit: publishing checkpoints succeeded again")
		}
		failing = err != nil
	}
}

// behind returns the number of entries not covered by a published checkpoint.
func (p *publisher) behind() (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.waiting {
		n += u.checkpoint.Size - u.published
	}
	return n
}

// publish publishes the checkpoints waiting at the time of the call.
func (p *publisher) publish(ctx context.Context) error {
	p.one.Lock()
	defer p.one.Unlock()
	p.mu.Lock()
	todo := make(map[string]unpublished, len(p.waiting))
	for id, u := range p.waiting {
		if u.published < u.checkpoint.Size {
			todo[id] = *u
		}
	}
	p.mu.Unlock()

	var errs []error
	for id, u := range todo {
		if u.certificate != "" {
			if err := p.put(ctx, p.opts.To.Prefix+id+"/"+certificateObject, u.certificate); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if err := p.put(ctx, objectKey(p.opts.To.Prefix, id, u.checkpoint.Size), u.checkpoint.Note); err != nil {
			errs = append(errs, err)
			continue
		}
		p.mu.Lock()
		if w := p.waiting[id]; w != nil {
			w.certificate, w.published = "", u.checkpoint.Size
			p.forget(id)
		}
		p.mu.Unlock()
	}
	return errors.Join(errs...)
}

// put creates an object. If the object already exists with the same content,
// put succeeds. This happens if the response to an earlier attempt was lost.
func (p *publisher) put(ctx context.Context, key, text string) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	err := p.opts.To.Bucket.Upload(ctx, key, strings.NewReader(text), &blob.WriterOptions{
		ContentType: "text/plain; charset=utf-8", IfNotExist: true, BufferSize: 256 << 10,
	})
	if err == nil {
		return nil
	}
	if code := gcerrors.Code(err); code == gcerrors.FailedPrecondition || code == gcerrors.AlreadyExists {
		there, readErr := readObject(ctx, p.opts.To.Bucket, key)
		if readErr == nil && there == text {
			return nil
		}
		if readErr == nil {
			return fmt.Errorf("sqlaudit: publishing %s: a different checkpoint already exists: was this machine cloned, or the database restored from a copy?", key)
		}
		err = readErr
	}
	return fmt.Errorf("sqlaudit: publishing %s: %w", key, err)
}

// maxNote is larger than any note of this package.
const maxNote = 64 << 10

func readObject(ctx context.Context, b *blob.Bucket, key string) (string, error) {
	r, err := b.NewReader(ctx, key, nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxNote))
	return string(text), errors.Join(err, r.Close())
}
