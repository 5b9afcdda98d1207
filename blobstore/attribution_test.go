package blobstore_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// nameless is a trail with operations without an actor, for example because it
// was erased.
type nameless struct{ *audit.Memory }

func (n nameless) Begin(ctx context.Context, e audit.Event, lease time.Duration) (audit.Intent, error) {
	e.Actor = audit.Actor{}
	return n.Memory.Begin(audit.WithActor(ctx, audit.Actor{}), e, lease)
}

func (n nameless) Entries(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		for e, err := range n.Memory.Entries(ctx, q) {
			e.Actor = audit.Actor{}
			if !yield(e, err) {
				return
			}
		}
	}
}

// The reconciling process has an actor, such as "system". Settled operations
// must not be attributed to it.
func TestReconcileNamesNoOtherActor(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(f *fixture, land func())
		want []string
	}{
		{"a write that lands after its settlement", func(f *fixture, land func()) {
			_, err := f.store.Upload(f.ctx, "a", strings.NewReader("hello"), nil)
			require.ErrorIs(f, err, blobstore.ErrInDoubt)
			f.amended(blobstore.Reconciled{Failed: 1}, land)
		}, []string{"upload failed by ", "upload ok by "}},

		{"a move whose source is left", func(f *fixture, _ func()) {
			f.bucket.write, f.bucket.copy = nil, nil
			require.NoError(f, f.bucket.Write(f.ctx, "a", strings.NewReader("hello"), &driver.WriteOptions{Size: 5, ContentType: "text/plain"}))
			f.bucket.del = func(context.Context, string, *driver.DeleteOptions) error {
				return fmt.Errorf("%w: %w", driver.ErrInDoubt, errBackend)
			}
			require.ErrorIs(f, f.store.Move(f.ctx, "b", "a", nil), blobstore.ErrInDoubt)
			f.bucket.del = nil
			f.reconcile(blobstore.Reconciled{OK: 1})
		}, []string{"move ok by ", "delete ok by "}},

		{"an upload that was settled by another process", func(f *fixture, _ func()) {
			f.bucket.write = func(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
				in, err := f.memory.Claim(ctx, o.Metadata[provider.MetaOp], time.Hour, nil)
				require.NoError(f, err)
				require.NoError(f, in.Settle(ctx, audit.Result{Outcome: audit.OutcomeFailed, SettledBy: audit.SettledByReconciler}))
				return f.bucket.Bucket.Write(ctx, key, r, o)
			}
			_, err := f.store.Upload(f.ctx, "a", strings.NewReader("hello"), nil)
			require.NoError(f, err)
		}, []string{"upload failed by ", "upload ok by "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, land := delaying(t)
			var err error
			f.store, err = blobstore.New(f.bucket, nameless{f.memory}, nil)
			require.NoError(t, err)
			tt.run(f, land)
			var got []string
			for _, e := range f.entries() {
				got = append(got, fmt.Sprintf("%s %s by %s", e.Action, e.Outcome, e.Actor.UserID))
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// Check acts on behalf of the program and needs no actor. If the context has
// one, it is recorded.
func TestCheckNamesTheActorOfItsContext(t *testing.T) {
	f := newFixture(t, nil)
	require.NoError(t, f.store.Check(context.WithoutCancel(t.Context())))
	require.NoError(t, f.store.Check(f.ctx))
	var got []string
	for _, e := range f.entries() {
		got = append(got, e.Actor.UserID)
	}
	assert.Equal(t, []string{"", "u"}, got)
}
