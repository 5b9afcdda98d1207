package blobstore_test

// These tests cover the lease of a running operation: renewed, lost, and
// settled by another process.

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const short = 300 * time.Millisecond

// The synctest clock determines the leases, so a busy machine does not affect
// them.

func TestLeaseIsKeptWhileASlowReaderStreams(t *testing.T) {
	synctest.Test(t, testLeaseIsKeptWhileASlowReaderStreams)
}

func testLeaseIsKeptWhileASlowReaderStreams(t *testing.T) {
	f := newFixture(t, &blobstore.Options{Lease: short})
	begun := time.Now()
	_, err := f.store.Upload(f.ctx, "a", endless{func() bool {
		done, err := f.store.Reconcile(f.ctx)
		assert.NoError(t, err)
		assert.Zero(t, done, "a running operation is left alone")
		return time.Since(begun) > 2*short && f.trail.Calls(audittest.CallRenew) >= 4
	}}, nil)
	require.NoError(t, err)
	entries := f.entries()
	require.Len(t, entries, 1)
	assert.Equal(t, audit.OutcomeOK, entries[0].Outcome)
}

func TestLeaseSurvivesAFailedRenewal(t *testing.T) {
	synctest.Test(t, testLeaseSurvivesAFailedRenewal)
}

func testLeaseSurvivesAFailedRenewal(t *testing.T) {
	f := newFixture(t, &blobstore.Options{Lease: short})
	f.trail.Add(audittest.Fault{Call: audittest.CallRenew, Nth: 1, Err: errBackend})
	_, err := f.store.Upload(f.ctx, "a", endless{func() bool { return f.trail.Calls(audittest.CallRenew) >= 3 }}, nil)
	require.NoError(t, err)
}

func TestLeaseThatCannotBeRenewedEndsTheUpload(t *testing.T) {
	synctest.Test(t, testLeaseThatCannotBeRenewedEndsTheUpload)
}

func testLeaseThatCannotBeRenewedEndsTheUpload(t *testing.T) {
	f := newFixture(t, &blobstore.Options{Lease: short})
	f.trail.Add(audittest.Fault{Call: audittest.CallRenew, Err: errBackend})
	_, err := f.store.Upload(f.ctx, "a", endless{func() bool { return false }}, nil)
	require.ErrorIs(t, err, blobstore.ErrAudit)
	require.ErrorIs(t, err, errBackend)
	require.NotErrorIs(t, err, context.Canceled, "the caller did not cancel")
	assert.False(t, f.exists("a"))
}

func TestLostLeaseEndsTheUploadAndLeavesNothing(t *testing.T) {
	synctest.Test(t, testLostLeaseEndsTheUploadAndLeavesNothing)
}

func testLostLeaseEndsTheUploadAndLeavesNothing(t *testing.T) {
	f := newFixture(t, &blobstore.Options{Lease: short})
	f.trail.Add(audittest.Fault{Call: audittest.CallRenew, Match: func(e audit.Event) bool {
		_, err := f.memory.Claim(context.Background(), e.OpID, time.Hour, nil)
		assert.NoError(t, err)
		return false
	}})
	_, err := f.store.Upload(f.ctx, "a", endless{func() bool { return false }}, nil)
	require.ErrorIs(t, err, blobstore.ErrAudit)
	require.ErrorIs(t, err, audit.ErrNotHeld)
	assert.False(t, f.exists("a"))
	assert.Empty(t, f.entries())
	assert.Equal(t, 1, f.memory.OpenIntents(), "it is for who took it over to settle")
}

func TestOperationSettledByAnotherProcessIsAmended(t *testing.T) {
	f := newFixture(t, nil)
	f.bucket.write = func(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
		in, err := f.memory.Claim(ctx, o.Metadata[provider.MetaOp], time.Hour, nil)
		require.NoError(t, err)
		require.NoError(t, in.Settle(ctx, audit.Result{Outcome: audit.OutcomeFailed, ErrorCode: "interrupted", SettledBy: audit.SettledByReconciler}))
		return f.bucket.Bucket.Write(ctx, key, r, o)
	}
	obj, err := f.store.Upload(f.ctx, "a", strings.NewReader("hello"), nil)
	require.NoError(t, err)
	entries := f.entries()
	require.Len(t, entries, 2)
	assert.Equal(t, obj.OpID, entries[0].OpID)
	assert.Equal(t, audit.OutcomeFailed, entries[0].Outcome)
	assert.Equal(t, obj.OpID, entries[1].RefOpID)
	assert.Equal(t, audit.OutcomeOK, entries[1].Outcome)
	assert.Equal(t, int64(5), *entries[1].Size)
	assert.Equal(t, obj.SHA256, entries[1].SHA256)

	// If the amendment cannot be written either, the caller gets the error.
	f.trail.Add(audittest.Fault{Call: audittest.CallLog, Err: errBackend})
	_, err = f.store.Upload(f.ctx, "b", strings.NewReader("hello"), nil)
	require.ErrorIs(t, err, blobstore.ErrAudit)
	assert.True(t, f.exists("b"))
}

func TestLeaseIsRenewedDuringCleanup(t *testing.T) {
	synctest.Test(t, testLeaseIsRenewedDuringCleanup)
}

func testLeaseIsRenewedDuringCleanup(t *testing.T) {
	f := newFixture(t, &blobstore.Options{Lease: short})
	ctx, cancel := context.WithCancel(f.ctx)
	f.bucket.write = func(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
		require.NoError(t, f.bucket.Bucket.Write(ctx, key, strings.NewReader("part"), o))
		cancel()
		return context.Cause(ctx)
	}
	f.bucket.del = func(dctx context.Context, key string, o *driver.DeleteOptions) error {
		seen := f.trail.Calls(audittest.CallRenew)
		begun := time.Now()
		require.Eventually(t, func() bool {
			done, err := f.store.Reconcile(f.ctx)
			require.NoError(t, err)
			require.Zero(t, done)
			return time.Since(begun) > 2*short && f.trail.Calls(audittest.CallRenew) > seen+2
		}, time.Minute, 10*time.Millisecond)
		return f.bucket.Bucket.Delete(dctx, key, o)
	}
	_, err := f.store.Upload(ctx, "a", strings.NewReader("whole"), nil)
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, f.exists("a"))
	entries := f.entries()
	require.Len(t, entries, 1)
	assert.Equal(t, "canceled", entries[0].ErrorCode)
}

func TestNilBucket(t *testing.T) {
	_, err := blobstore.New(driver.FromBlob(nil, driver.Info{}), audit.Discard, nil)
	require.ErrorContains(t, err, "the bucket is nil")
	_, err = blobstore.New(nil, audit.Discard, nil)
	require.ErrorContains(t, err, "the bucket is nil")
	_, err = blobstore.Open(t.Context(), "mem://", nil, nil)
	require.ErrorContains(t, err, "the audit.Journal is nil")
	var be *blobstore.Error
	require.True(t, errors.As(err, &be))
	assert.Equal(t, "open", be.Op)
}
