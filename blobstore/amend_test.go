package blobstore_test

// These tests cover delayed writes: they take effect long after a reconciler
// that found no object settled their operation.

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// delaying is a fixture with a readable trail. Its next write or copy fails at
// once and takes effect when the returned function is called.
func delaying(t *testing.T) (f *fixture, land func()) {
	f = newFixture(t, nil)
	var err error
	f.store, err = blobstore.New(f.bucket, f.memory, nil)
	require.NoError(t, err)
	land = func() { require.Fail(t, "nothing was written") }
	f.bucket.write = func(_ context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		final := o.Final()
		late := *o
		late.Final = func() map[string]string { return final }
		land = func() {
			require.NoError(t, f.bucket.Bucket.Write(context.Background(), key, bytes.NewReader(data), &late))
		}
		f.bucket.blind = true // the process dies before it can look
		return errBackend
	}
	f.bucket.copy = func(_ context.Context, dst, src string, o *driver.CopyOptions) error {
		land = func() { require.NoError(t, f.bucket.Bucket.Copy(context.Background(), dst, src, o)) }
		f.bucket.blind = true
		return errBackend
	}
	return f, func() { land() }
}

// amended settles the operation of the killed process, lets its write take
// effect, and returns the entries of the next Reconcile. A further Reconcile
// must add none.
func (f *fixture) amended(settled blobstore.Reconciled, land func()) (final audit.Entry, amendment audit.Entry) {
	f.Helper()
	f.bucket.blind, f.bucket.write, f.bucket.copy = false, nil, nil
	f.reconcile(settled)
	entries := f.entries()
	final = entries[len(entries)-1]
	land()
	done, err := f.store.Reconcile(f.ctx)
	require.NoError(f, err)
	require.Equal(f, blobstore.Reconciled{Amended: 1}, done)
	done, err = f.store.Reconcile(f.ctx)
	require.NoError(f, err)
	require.Zero(f, done, "it is said once")
	entries = entries[len(entries):]
	for _, e := range f.entries() {
		if e.ID > final.ID {
			entries = append(entries, e)
		}
	}
	require.Len(f, entries, 1)
	assert.Equal(f, final.OpID, entries[0].RefOpID)
	assert.NotEqual(f, final.OpID, entries[0].OpID, "one final entry for each operation")
	return final, entries[0]
}

func TestUploadThatLandsAfterItsSettlement(t *testing.T) {
	f, land := delaying(t)
	_, err := f.store.Upload(f.ctx, "a", strings.NewReader("hello"), &blobstore.UploadOptions{Resource: audit.Resource{Type: "invoice", ID: "42"}})
	require.ErrorIs(t, err, blobstore.ErrInDoubt)
	final, amendment := f.amended(blobstore.Reconciled{Failed: 1}, land)
	assert.Equal(t, audit.OutcomeFailed, final.Outcome)
	assert.Equal(t, audit.OutcomeOK, amendment.Outcome)
	assert.Equal(t, audit.ActionUpload, amendment.Action)
	assert.Equal(t, final.Resource, amendment.Resource)
	assert.Equal(t, final.Actor, amendment.Actor)
	assert.Equal(t, int64(5), *amendment.Size)
	assert.Empty(t, amendment.ErrorCode)
	assert.True(t, f.exists("a"))
}

func TestReplacementThatLandsAfterItsSettlement(t *testing.T) {
	f, land := delaying(t)
	_, err := f.store.Upload(f.ctx, "a", strings.NewReader("late"), &blobstore.UploadOptions{Overwrite: true})
	require.ErrorIs(t, err, blobstore.ErrInDoubt)
	f.bucket.blind, f.bucket.write = false, nil
	_, err = f.store.Upload(f.ctx, "a", strings.NewReader("in time"), nil)
	require.NoError(t, err)
	final, amendment := f.amended(blobstore.Reconciled{Unknown: 1}, land)
	assert.Equal(t, audit.OutcomeUnknown, final.Outcome)
	assert.Equal(t, audit.OutcomeOK, amendment.Outcome)
}

func TestCopyThatLandsAfterItsSettlement(t *testing.T) {
	f, land := delaying(t)
	require.NoError(t, f.bucket.Bucket.Write(f.ctx, "a", strings.NewReader("hello"), &driver.WriteOptions{Size: 5, ContentType: "text/plain"}))
	require.ErrorIs(t, f.store.Copy(f.ctx, "b", "a", nil), blobstore.ErrInDoubt)
	_, amendment := f.amended(blobstore.Reconciled{Failed: 1}, land)
	assert.Equal(t, audit.ActionCopy, amendment.Action)
	assert.Equal(t, audit.OutcomeOK, amendment.Outcome)
}

// The move was settled as failed, so its source must remain.
func TestMoveThatLandsAfterItsSettlementIsACopy(t *testing.T) {
	f, land := delaying(t)
	require.NoError(t, f.bucket.Bucket.Write(f.ctx, "a", strings.NewReader("hello"), &driver.WriteOptions{Size: 5, ContentType: "text/plain"}))
	require.ErrorIs(t, f.store.Move(f.ctx, "b", "a", nil), blobstore.ErrInDoubt)
	_, amendment := f.amended(blobstore.Reconciled{Failed: 1}, land)
	assert.Equal(t, audit.ActionCopy, amendment.Action)
	assert.True(t, f.exists("a"))
	assert.True(t, f.exists("b"))
}

// An upload that the application never committed has no row in its database.
func TestStagedUploadThatLandsAfterItsSettlementIsRemoved(t *testing.T) {
	f, land := delaying(t)
	_, err := f.store.Stage(f.ctx, "a", strings.NewReader("hello"), nil)
	require.ErrorIs(t, err, blobstore.ErrInDoubt)
	_, amendment := f.amended(blobstore.Reconciled{Failed: 1}, land)
	assert.Equal(t, audit.OutcomeFailed, amendment.Outcome)
	assert.Equal(t, "discarded", amendment.ErrorCode)
	assert.False(t, f.exists("a"))
}

// If the process that wrote is still alive, it records the amendment itself,
// and the reconciler adds none.
func TestSecondAmendmentIsNotMade(t *testing.T) {
	f, land := delaying(t)
	_, err := f.store.Upload(f.ctx, "a", strings.NewReader("hello"), nil)
	require.ErrorIs(t, err, blobstore.ErrInDoubt)
	f.bucket.blind, f.bucket.write = false, nil
	f.reconcile(blobstore.Reconciled{Failed: 1})
	land()
	final := f.entries()[0]
	require.NoError(t, f.memory.Log(f.ctx, audit.Event{Action: audit.ActionUpload, RefOpID: final.OpID, Key: "a", Backend: final.Backend, Bucket: final.Bucket}))
	done, err := f.store.Reconcile(f.ctx)
	require.NoError(t, err)
	assert.Zero(t, done)
}

// If an amendment cannot be written, the next reconciler writes it. A problem
// with one key does not delay the others.
func TestAmendmentThatFailsIsMadeLater(t *testing.T) {
	f, land := delaying(t)
	_, err := f.store.Upload(f.ctx, "a", strings.NewReader("hello"), nil)
	require.ErrorIs(t, err, blobstore.ErrInDoubt)
	f.bucket.blind, f.bucket.write = false, nil
	f.reconcile(blobstore.Reconciled{Failed: 1})
	land()
	f.bucket.blind = true
	_, err = f.store.Reconcile(f.ctx)
	require.ErrorContains(t, err, "upload of \"a\"")
	f.bucket.blind = false
	done, err := f.store.Reconcile(f.ctx)
	require.NoError(t, err)
	assert.Equal(t, blobstore.Reconciled{Amended: 1}, done)
}
