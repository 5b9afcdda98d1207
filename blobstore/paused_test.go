package blobstore

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// These tests cover a process suspended for longer than its lease while another
// one reconciles. Each test suspends it at one step of the bucket.

// steps is a bucket that can be suspended before and after each of its changes.
type steps struct {
	driver.Bucket
	before, after func(op, key string) error
}

func (b *steps) step(op, key string, do func() error) error {
	if b.before != nil {
		if err := b.before(op, key); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && b.after != nil {
		err = b.after(op, key)
	}
	return err
}

func (b *steps) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	return b.step("write", key, func() error { return b.Bucket.Write(ctx, key, r, o) })
}

func (b *steps) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	return b.step("copy", dst, func() error { return b.Bucket.Copy(ctx, dst, src, o) })
}

func (b *steps) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	return b.step("delete", key, func() error { return b.Bucket.Delete(ctx, key, o) })
}

type paused struct {
	*Store        // of the suspended process
	other  *Store // of the other process
	ctx    context.Context
	bucket *steps
	trail  *audit.Memory
	ahead  atomic.Int64 // nanoseconds by which the trail's clock is ahead
}

func newPaused(t *testing.T) *paused {
	p := &paused{ctx: audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})}
	p.trail = &audit.Memory{Now: func() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }}
	base := driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "mem", Bucket: "mem"})
	p.bucket = &steps{Bucket: base}
	var err error
	p.Store, err = New(p.bucket, p.trail, nil)
	require.NoError(t, err)
	p.other, err = New(base, p.trail, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	return p
}

// stopped is how long the process is suspended.
func (p *paused) stopped(t *testing.T) Reconciled {
	t.Helper()
	p.ahead.Add(int64(time.Hour))
	r, err := p.other.Reconcile(p.ctx)
	require.NoError(t, err)
	return r
}

func (p *paused) put(t *testing.T, s *Store, key, content string) {
	t.Helper()
	_, err := s.Upload(p.ctx, key, strings.NewReader(content), &UploadOptions{Overwrite: true})
	require.NoError(t, err)
}

func (p *paused) get(t *testing.T, key string) string {
	t.Helper()
	r, err := p.other.Download(p.ctx, key, nil)
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

// agrees checks that the trail describes every object: the last entry about a
// key must match the object under that key.
func (p *paused) agrees(t *testing.T, keys ...string) {
	t.Helper()
	require.Zero(t, p.trail.OpenIntents(), "dangling intents")
	for _, key := range keys {
		wrote, changed := map[string]bool{}, map[string]bool{}
		there := false
		for e, err := range p.trail.Entries(p.ctx, audit.Query{Key: key}) {
			require.NoError(t, err)
			switch id := e.OpID; e.Action {
			case audit.ActionUpload, audit.ActionCopy, audit.ActionMove:
				if e.RefOpID != "" {
					id = e.RefOpID // an amendment
				}
				wrote[id] = e.Outcome == audit.OutcomeOK
				there, changed[id] = e.Outcome == audit.OutcomeOK, true
			case audit.ActionDelete:
				there = there && e.Outcome != audit.OutcomeOK
			}
		}
		obj, err := p.other.Stat(p.ctx, key)
		if err != nil {
			require.False(t, there, "%s is gone, and the trail says that it is there", key)
			continue
		}
		require.True(t, wrote[obj.OpID], "%s stands, and the trail does not say so", key)
	}
}

func TestMovePaused(t *testing.T) {
	once := func(op, key string, do func()) func(string, string) error {
		return func(o, k string) error {
			if o == op && k == key {
				op = "" // suspend only once
				do()
			}
			return nil
		}
	}
	for _, overwrite := range []bool{false, true} {
		opts := &CopyOptions{Overwrite: overwrite}
		name := map[bool]string{false: "", true: ", overwriting"}[overwrite]
		for point, stop := range map[string]func(p *paused, stopped func()){
			"after the copy":      func(p *paused, stopped func()) { p.bucket.after = once("copy", "dst", stopped) },
			"before the deletion": func(p *paused, stopped func()) { p.bucket.before = once("delete", "src", stopped) },
			"before the copy":     func(p *paused, stopped func()) { p.bucket.before = once("copy", "dst", stopped) },
		} {
			t.Run(point+name, func(t *testing.T) {
				p := newPaused(t)
				p.put(t, p.Store, "src", "content")
				stop(p, func() { p.stopped(t) })
				_ = p.Move(p.ctx, "dst", "src", opts)
				require.Equal(t, "content", p.get(t, "dst"))
				p.agrees(t, "src", "dst")
			})
		}
		t.Run("before the copy, and the source was replaced after it"+name, func(t *testing.T) {
			p := newPaused(t)
			p.put(t, p.Store, "src", "content")
			p.bucket.before = once("copy", "dst", func() { p.stopped(t) })
			p.bucket.after = once("copy", "dst", func() { p.put(t, p.other, "src", "newer") })
			require.Error(t, p.Move(p.ctx, "dst", "src", opts))
			require.Equal(t, "newer", p.get(t, "src"))
			p.agrees(t, "src", "dst")
		})
		t.Run("after the copy, and then the source was replaced"+name, func(t *testing.T) {
			p := newPaused(t)
			p.put(t, p.Store, "src", "content")
			p.bucket.after = once("copy", "dst", func() {
				p.stopped(t)
				p.put(t, p.other, "src", "newer")
			})
			_ = p.Move(p.ctx, "dst", "src", opts)
			require.Equal(t, "newer", p.get(t, "src"))
			require.Equal(t, "content", p.get(t, "dst"))
			p.agrees(t, "src", "dst")
		})
	}
	t.Run("a move that cannot delete its source is undone", func(t *testing.T) {
		p := newPaused(t)
		p.put(t, p.Store, "src", "content")
		cause := errors.New("it is on hold")
		p.bucket.before = func(op, key string) error {
			if op == "delete" && key == "src" {
				return cause
			}
			return nil
		}
		require.ErrorIs(t, p.Move(p.ctx, "dst", "src", nil), cause)
		require.Equal(t, "content", p.get(t, "src"))
		p.agrees(t, "src", "dst")
	})
}

func TestDeletePaused(t *testing.T) {
	t.Run("and replaced concurrently", func(t *testing.T) {
		p := newPaused(t)
		p.put(t, p.Store, "a", "content")
		p.bucket.before = func(string, string) error {
			p.bucket.before = nil
			p.put(t, p.other, "a", "newer content")
			p.stopped(t)
			return nil
		}
		require.ErrorIs(t, p.Delete(p.ctx, "a", nil), ErrReplaced)
		require.Equal(t, "newer content", p.get(t, "a"))
		p.agrees(t, "a")
	})
	t.Run("and replaced after it was settled", func(t *testing.T) {
		p := newPaused(t)
		p.put(t, p.Store, "a", "content")
		p.bucket.before = func(string, string) error {
			p.bucket.before = nil
			require.Equal(t, Reconciled{Failed: 1}, p.stopped(t))
			p.put(t, p.other, "a", "newer content")
			return nil
		}
		require.ErrorIs(t, p.Delete(p.ctx, "a", nil), audit.ErrNotHeld)
		require.Equal(t, "newer content", p.get(t, "a"))
		p.agrees(t, "a")
	})
	t.Run("and nothing happened", func(t *testing.T) {
		p := newPaused(t)
		p.put(t, p.Store, "a", "content")
		p.bucket.before = func(string, string) error {
			p.bucket.before = nil
			require.Equal(t, Reconciled{Failed: 1}, p.stopped(t))
			return nil
		}
		require.NoError(t, p.Delete(p.ctx, "a", nil), "it is deleted, and the trail amended")
		p.agrees(t, "a")
	})
}

func TestCanceledUploadPaused(t *testing.T) {
	// The response to a write is lost, and the client has disconnected. Before
	// the object is removed, a reconciler finds and records it.
	p := newPaused(t)
	ctx, cancel := context.WithCancel(p.ctx)
	p.bucket.after = func(op, _ string) error {
		if op != "write" {
			return nil
		}
		cancel()
		return ctx.Err()
	}
	p.bucket.before = func(op, _ string) error {
		if op == "delete" {
			p.stopped(t)
		}
		return nil
	}
	_, err := p.Upload(ctx, "a", strings.NewReader("content"), nil)
	require.ErrorIs(t, err, context.Canceled)
	p.agrees(t, "a")
}

func TestDiscardPaused(t *testing.T) {
	// While the process was suspended, a reconciler discarded its upload, and
	// another upload used the key.
	p := newPaused(t)
	st, err := p.Stage(p.ctx, "a", strings.NewReader("staged"), nil)
	require.NoError(t, err)
	require.Equal(t, Reconciled{Failed: 1}, p.stopped(t))
	p.put(t, p.other, "a", "somebody else's")
	_ = st.Discard(p.ctx)
	require.Equal(t, "somebody else's", p.get(t, "a"))
	p.agrees(t, "a")
}
