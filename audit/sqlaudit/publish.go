package sqlaudit

// Publishing: checkpoints leave the database for a bucket, where whoever owns
// the database can't take them back.

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

// Checkpoints is the location of published checkpoints. The same value goes
// into [PublishOptions.To] and [VerifyOptions.Published].
type Checkpoints struct {
	// Bucket holds the checkpoints. The administrator of the database should have
	// no write access to it. A bucket that retains its objects, by object lock or
	// a retention policy, is best. The journal does not close the bucket, which
	// must stay open until the journal is closed.
	Bucket *blob.Bucket

	// Prefix is the beginning of every object's key, such as "checkpoints/".
	// Default: none.
	Prefix string
}

// PublishOptions say where checkpoints are published and how often.
type PublishOptions struct {
	// To is the location of the checkpoints. Required.
	To Checkpoints

	// Every is the longest that a checkpoint waits. Default: 10 s. When a
	// process was killed, another one of those that publish does so for it,
	// between 6 and 12 times Every later, or when it starts. It does so only
	// for a writer that [Options.DeploymentKey] or one of [Options.TrustedKeys]
	// certifies. Anyone who can write to the database could have made up another.
	Every time.Duration

	// Entries is after how many new entries a checkpoint is published at once.
	// Default: 1,000.
	Entries int
}

func (o *PublishOptions) withDefaults() (*PublishOptions, error) {
	if o == nil {
		return nil, nil
	}
	out := *o
	switch {
	case out.To.Bucket == nil:
		return nil, errors.New("sqlaudit: Options.Publish without To.Bucket: want the bucket that takes the checkpoints")
	case out.Every < 0:
		return nil, fmt.Errorf("sqlaudit: PublishOptions.Every is %v: want a positive duration, or 0 for 10 s", out.Every)
	case out.Entries < 0:
		return nil, fmt.Errorf("sqlaudit: PublishOptions.Entries is %d: want a positive number, or 0 for 1000", out.Entries)
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

// objectKey is that of a published checkpoint. The digits keep the keys in the
// order of the sizes.
func objectKey(prefix, writer string, size int64) string {
	return fmt.Sprintf("%s%s/%020d", prefix, writer, size)
}

// publisher holds the last checkpoint of each writer that is not published yet.
type publisher struct {
	opts    *PublishOptions
	logger  *slog.Logger
	timeout time.Duration

	wake chan struct{}
	done chan struct{} // the loop has ended
	one  sync.Mutex    // held while publishing, so that objects are written once

	mu      sync.Mutex
	current string // the writer that offered last
	waiting map[string]*unpublished
}

type unpublished struct {
	certificate string // to publish before the first checkpoint; "" once it is
	checkpoint  checkpointRow
	published   int64
}

func newPublisher(opts *PublishOptions, logger *slog.Logger, timeout time.Duration) *publisher {
	return &publisher{
		opts: opts, logger: logger, timeout: timeout, wake: make(chan struct{}, 1), done: make(chan struct{}), waiting: make(map[string]*unpublished),
	}
}

// offer hands over a checkpoint that was stored.
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

// forget lets go of a writer of whom all that was offered is published, unless it
// is the one that this process goes on as. What it may have stored after that, of
// which its process never heard, is then published as that of any writer that is
// gone. The caller holds p.mu.
func (p *publisher) forget(id string) {
	if u := p.waiting[id]; id != p.current && u.published == u.checkpoint.Size {
		delete(p.waiting, id)
	}
}

// run publishes until ctx ends. After a failure it goes on at the next tick.
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
			if failing { // the bucket is given time, however much comes
				continue
			}
		}
		err := p.publish(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			p.logger.LogAttrs(ctx, slog.LevelError, "sqlaudit: checkpoints can't be published, trying again", slog.Any("error", err), slog.Int64("unpublished_entries", p.behind()))
		case err == nil && failing:
			p.logger.LogAttrs(ctx, slog.LevelInfo, "sqlaudit: checkpoints are published again")
		}
		failing = err != nil
	}
}

// behind is the number of entries that no published checkpoint covers.
func (p *publisher) behind() (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.waiting {
		n += u.checkpoint.Size - u.published
	}
	return n
}

// publish writes what waits at the time.
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

// put creates an object. One that is there already is good if it is the same,
// as after an attempt whose reply was lost.
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
			return fmt.Errorf("sqlaudit: publishing %s: another checkpoint stands there: was this machine cloned, or its database restored?", key)
		}
		err = readErr
	}
	return fmt.Errorf("sqlaudit: publishing %s: %w", key, err)
}

// maxNote is more than any note of this package has.
const maxNote = 64 << 10

func readObject(ctx context.Context, b *blob.Bucket, key string) (string, error) {
	r, err := b.NewReader(ctx, key, nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxNote))
	return string(text), errors.Join(err, r.Close())
}
