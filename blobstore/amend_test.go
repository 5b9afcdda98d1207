package blobstore_test

// Writes that are held up on their way and take effect when their operation was
// settled long ago, by somebody who found nothing.

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

// delaying is a fixture whose store reads its trail, and whose next write or
// copy fails at once and takes effect when the returned function is called.
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
		f.bucket.blind = true // the process does not live to look
		return errBackend
	}
	f.bucket.copy = func(_ context.Context, dst, src string, o *driver.CopyOptions) error {
		land = func() { require.NoError(t, f.bucket.Bucket.Copy(context.Background(), dst, src, o)) }
		f.bucket.blind = true
		return errBackend
	}
	return f, func() { land() }
}

// amended settles what the killed process left, lets its write land, and
// returns what the next reconciler writes of it. Another one after that must
// have nothing to add.
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

// A move was settled as failed, so its source has to stay.
func TestMoveThatLandsAfterItsSettlementIsACopy(t *testing.T) {
	f, land := delaying(t)
	require.NoError(t, f.bucket.Bucket.Write(f.ctx, "a", strings.NewReader("hello"), &driver.WriteOptions{Size: 5, ContentType: "text/plain"}))
	require.ErrorIs(t, f.store.Move(f.ctx, "b", "a", nil), blobstore.ErrInDoubt)
	_, amendment := f.amended(blobstore.Reconciled{Failed: 1}, land)
	assert.Equal(t, audit.ActionCopy, amendment.Action)
	assert.True(t, f.exists("a"))
	assert.True(t, f.exists("b"))
}

// What the host never committed has no row in the host's database.
func TestStagedUploadThatLandsAfterItsSettlementIsRemoved(t *testing.T) {
	f, land := delaying(t)
	_, err := f.store.Stage(f.ctx, "a", strings.NewReader("hello"), nil)
	require.ErrorIs(t, err, blobstore.ErrInDoubt)
	_, amendment := f.amended(blobstore.Reconciled{Failed: 1}, land)
	assert.Equal(t, audit.OutcomeFailed, amendment.Outcome)
	assert.Equal(t, "discarded", amendment.ErrorCode)
	assert.False(t, f.exists("a"))
}

// Where the process that wrote lives on it says so itself; the reconciler then
// has nothing to add.
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

// A journal whose record can't be written leaves it to the next reconciler, and
// what is wrong with one key holds up no other.
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
