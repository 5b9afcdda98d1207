package blobstore_test

// These tests cover backends with wrong results, and backends that stop
// responding.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// storesAndFails stores the content, or its first n bytes, and returns an error
// all the same.
func (f *fixture) storesAndFails(n int, also func()) {
	f.bucket.write = func(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
		data, err := io.ReadAll(io.LimitReader(r, int64(n)))
		require.NoError(f, err)
		if n > 100 {
			_, err = r.Read(make([]byte, 1))
			require.ErrorIs(f, err, io.EOF)
		}
		require.NoError(f, f.bucket.Bucket.Write(context.WithoutCancel(ctx), key, bytes.NewReader(data), o))
		also()
		return errBackend
	}
}

func TestFailedWriteThatStoredTheObjectSucceeds(t *testing.T) {
	for name, opts := range map[string]*blobstore.UploadOptions{"create": nil, "overwrite": {Overwrite: true}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			f.storesAndFails(1000, func() {})
			obj, err := f.store.Upload(f.ctx, "a", strings.NewReader("hello"), opts)
			require.NoError(t, err)
			assert.Equal(t, int64(5), obj.Size)
			assert.True(t, f.exists("a"))
			entries := f.entries()
			require.Len(t, entries, 1)
			assert.Equal(t, audit.OutcomeOK, entries[0].Outcome)
		})
	}
}

func TestFailedWriteThatStoredAPartIsRemoved(t *testing.T) {
	f := newFixture(t, nil)
	f.storesAndFails(3, func() {})
	_, err := f.store.Upload(f.ctx, "a", strings.NewReader("hello"), nil)
	require.ErrorIs(t, err, errBackend)
	assert.False(t, f.exists("a"))
	entries := f.entries()
	require.Len(t, entries, 1)
	assert.Equal(t, audit.OutcomeFailed, entries[0].Outcome)
}

func TestCanceledWriteThatStoredTheObject(t *testing.T) {
	for name, overwrite := range map[string]bool{"is removed if it is new": false, "stands if the old one is gone": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			ctx, cancel := context.WithCancel(f.ctx)
			f.storesAndFails(1000, cancel)
			_, err := f.store.Upload(ctx, "a", strings.NewReader("hello"), &blobstore.UploadOptions{Overwrite: overwrite})
			assert.Equal(t, overwrite, f.exists("a"))
			entries := f.entries()
			require.Len(t, entries, 1)
			if overwrite {
				require.NoError(t, err)
				assert.Equal(t, audit.OutcomeOK, entries[0].Outcome)
			} else {
				require.Error(t, err)
				assert.Equal(t, audit.OutcomeFailed, entries[0].Outcome)
			}
		})
	}
}

func TestFailedWriteWithoutLookupIsInDoubt(t *testing.T) {
	for name, stored := range map[string]bool{"and was stored": true, "and was not": false} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			f.bucket.write = func(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
				if stored {
					require.NoError(t, f.bucket.Bucket.Write(ctx, key, r, o))
				}
				f.bucket.blind = true
				return errBackend
			}
			_, err := f.store.Upload(f.ctx, "a", strings.NewReader("hello"), nil)
			require.ErrorIs(t, err, blobstore.ErrInDoubt)
			require.ErrorIs(t, err, errBackend)
			assert.Empty(t, f.entries())
			assert.Equal(t, 1, f.memory.OpenIntents())

			f.leasesEnd()
			done, err := f.store.Reconcile(f.ctx) // the intent remains while the backend does not respond
			require.Error(t, err)
			require.Zero(t, done)
			require.Equal(t, 1, f.memory.OpenIntents())

			f.bucket.blind = false
			want := blobstore.Reconciled{Failed: 1}
			if stored {
				want = blobstore.Reconciled{OK: 1}
			}
			f.reconcile(want)
			assert.Equal(t, stored, f.exists("a"))
		})
	}
}

func (f *fixture) put(key string) {
	f.Helper()
	_, err := f.store.Upload(f.ctx, key, strings.NewReader("content of "+key), nil)
	require.NoError(f, err)
}

func TestDeleteThatFailed(t *testing.T) {
	for name, c := range map[string]struct {
		deletes, blind bool
		want           error
		outcome        audit.Outcome
	}{
		"but deleted":             {true, false, nil, audit.OutcomeOK},
		"and did not delete":      {false, false, errBackend, audit.OutcomeFailed},
		"and nobody can look":     {true, true, blobstore.ErrInDoubt, ""},
		"and nobody can look, no": {false, true, blobstore.ErrInDoubt, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			f.put("a")
			f.bucket.del = func(ctx context.Context, key string, o *driver.DeleteOptions) error {
				if c.deletes {
					require.NoError(t, f.bucket.Bucket.Delete(ctx, key, o))
				}
				f.bucket.blind = c.blind
				return errBackend
			}
			err := f.store.Delete(f.ctx, "a", nil)
			require.ErrorIs(t, err, c.want)
			if c.outcome != "" {
				entries := f.entries()
				require.Len(t, entries, 2)
				assert.Equal(t, c.outcome, entries[1].Outcome)
				return
			}
			assert.Equal(t, 1, f.memory.OpenIntents())
			f.bucket.blind, f.bucket.del = false, nil
			if c.deletes {
				f.reconcile(blobstore.Reconciled{OK: 1})
			} else {
				f.reconcile(blobstore.Reconciled{Failed: 1})
			}
		})
	}
}

// If the response to a deletion is lost, an object stored later is not the one
// to delete.
func TestDeleteWithALostResponseLeavesNewObjects(t *testing.T) {
	f := newFixture(t, nil)
	f.put("a")
	f.bucket.del = func(ctx context.Context, key string, o *driver.DeleteOptions) error {
		f.bucket.del = nil
		require.NoError(t, f.bucket.Bucket.Delete(ctx, key, o))
		f.put("a") // create-only
		return errBackend
	}
	err := f.store.Delete(f.ctx, "a", nil)
	require.ErrorIs(t, err, blobstore.ErrInDoubt)
	require.ErrorIs(t, err, errBackend)
	assert.True(t, f.exists("a"))
	f.reconcile(blobstore.Reconciled{Unknown: 1})
	assert.True(t, f.exists("a"))
}

func TestMoveWithoutDeletionIsUndone(t *testing.T) {
	f := newFixture(t, nil)
	f.put("a")
	f.bucket.del = func(ctx context.Context, key string, o *driver.DeleteOptions) error {
		if key == "a" {
			return errBackend
		}
		return f.bucket.Bucket.Delete(ctx, key, o)
	}
	err := f.store.Move(f.ctx, "b", "a", nil)
	require.ErrorIs(t, err, errBackend)
	require.NotErrorIs(t, err, blobstore.ErrInDoubt)
	assert.True(t, f.exists("a"))
	assert.False(t, f.exists("b"))
	entries := f.entries()
	require.Len(t, entries, 2)
	assert.Equal(t, audit.ActionMove, entries[1].Action)
	assert.Equal(t, audit.OutcomeFailed, entries[1].Outcome)

	// If the copy cannot be removed either, the reconciler completes the move.
	f.bucket.del = func(context.Context, string, *driver.DeleteOptions) error { return errBackend }
	err = f.store.Move(f.ctx, "b", "a", nil)
	require.ErrorIs(t, err, blobstore.ErrInDoubt)
	assert.True(t, f.exists("b"))
	f.bucket.del = nil
	f.reconcile(blobstore.Reconciled{OK: 1})
	assert.False(t, f.exists("a"))
	assert.True(t, f.exists("b"))
}

func TestMoveOverAnObjectIsCompletedLater(t *testing.T) {
	f := newFixture(t, nil)
	f.put("a")
	f.put("b")
	f.bucket.del = func(context.Context, string, *driver.DeleteOptions) error { return errBackend }
	err := f.store.Move(f.ctx, "b", "a", &blobstore.CopyOptions{Overwrite: true})
	require.ErrorIs(t, err, blobstore.ErrInDoubt)
	require.ErrorIs(t, err, errBackend)
	assert.True(t, f.exists("a"), "nothing is lost")
	assert.True(t, f.exists("b"))
	f.bucket.del = nil
	f.reconcile(blobstore.Reconciled{OK: 1})
	assert.False(t, f.exists("a"))
	r, err := f.store.Download(f.ctx, "b", nil)
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, errors.Join(err, r.Close()))
	assert.Equal(t, "content of a", string(data))
}

func TestCopyThatFailedButStoredSucceeds(t *testing.T) {
	f := newFixture(t, nil)
	f.put("a")
	f.bucket.copy = func(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
		require.NoError(t, f.bucket.Bucket.Copy(ctx, dst, src, o))
		return errBackend
	}
	require.NoError(t, f.store.Copy(f.ctx, "b", "a", nil))
	assert.True(t, f.exists("b"))
	assert.Equal(t, audit.OutcomeOK, f.entries()[1].Outcome)
}
