package blobstore_test

// This file implements a bucket with replaceable methods, for behavior that
// real backends do not show on request.

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
)

var errBackend = errors.New("the backend is down")

type hooked struct {
	driver.Bucket
	write func(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error
	copy  func(ctx context.Context, dst, src string, o *driver.CopyOptions) error
	del   func(ctx context.Context, key string, o *driver.DeleteOptions) error
	blind bool // lookups fail
}

func (b *hooked) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	if b.write != nil {
		return b.write(ctx, key, r, o)
	}
	return b.Bucket.Write(ctx, key, r, o)
}

func (b *hooked) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	if b.copy != nil {
		return b.copy(ctx, dst, src, o)
	}
	return b.Bucket.Copy(ctx, dst, src, o)
}

func (b *hooked) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	if b.del != nil {
		return b.del(ctx, key, o)
	}
	return b.Bucket.Delete(ctx, key, o)
}

func (b *hooked) Attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	if b.blind {
		return nil, errBlind
	}
	return b.Bucket.Attributes(ctx, key)
}

var errBlind = errors.New("objects can't be looked up")

type fixture struct {
	*testing.T
	ctx    context.Context
	bucket *hooked
	memory *audit.Memory
	trail  *audittest.Faults
	store  *blobstore.Store
	ahead  atomic.Int64 // nanoseconds by which the trail's clock is ahead
}

func newFixture(t *testing.T, opts *blobstore.Options) *fixture {
	f := &fixture{T: t, bucket: &hooked{Bucket: memstore.New()}}
	f.memory = &audit.Memory{Now: func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }}
	f.ctx = audit.WithActor(t.Context(), audit.Actor{UserID: "u"})
	f.trail = audittest.NewFaults(f.memory)
	var err error
	f.store, err = blobstore.New(f.bucket, f.trail, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.store.Close(context.Background())) })
	return f
}

func (f *fixture) entries() []audit.Entry {
	f.Helper()
	var all []audit.Entry
	for e, err := range f.memory.Entries(context.Background(), audit.Query{}) {
		require.NoError(f, err)
		all = append(all, e)
	}
	return all
}

func (f *fixture) exists(key string) bool {
	f.Helper()
	ok, err := f.bucket.Bucket.Blob().Exists(context.Background(), key)
	require.NoError(f, err)
	return ok
}

// leasesEnd makes the leases of all open intents expire.
func (f *fixture) leasesEnd() { f.ahead.Add(int64(time.Hour)) }

// reconcile settles the single open intent after its lease has expired.
func (f *fixture) reconcile(want blobstore.Reconciled) {
	f.Helper()
	f.leasesEnd()
	done, err := f.store.Reconcile(f.ctx)
	require.NoError(f, err)
	require.Equal(f, want, done)
	require.Zero(f, f.memory.OpenIntents())
}

// endless returns bytes until the test ends it or its upload is abandoned.
type endless struct{ end func() bool }

func (r endless) Read(p []byte) (int, error) {
	if r.end() {
		return 0, io.EOF
	}
	time.Sleep(time.Millisecond) // simulates a slow client
	p[0] = 'x'
	return 1, nil
}

func TestPlainBucketsAreDistinguishedByName(t *testing.T) {
	ctx, memory := audit.WithActor(t.Context(), audit.Actor{UserID: "u"}), &audit.Memory{}
	open := func(name string) *blobstore.Store {
		s, err := blobstore.New(driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Bucket: name}), memory, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
		return s
	}
	invoices, scans := open("invoices"), open("scans")
	memory.Now = func() time.Time { return time.Now().Add(-time.Hour) } // so that the lease has expired
	_, err := memory.Begin(ctx, audit.Event{Action: audit.ActionUpload, Key: "a", Backend: "custom", Bucket: "invoices"}, time.Minute)
	require.NoError(t, err)
	memory.Now = nil
	done, err := scans.Reconcile(ctx)
	require.NoError(t, err)
	require.Zero(t, done)
	done, err = invoices.Reconcile(ctx)
	require.NoError(t, err)
	require.Equal(t, blobstore.Reconciled{Failed: 1}, done)
}
