package storetest

// This file implements the environment of the cases: a store over a bucket, a
// trail with a movable clock and calls that can be made to fail, and the
// assertions shared by all cases.

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/signurl"
)

const (
	kib = 1 << 10
	mib = 1 << 20

	// lease is longer than any case. To make leases expire, a case moves the
	// clock of the trail.
	lease = time.Hour

	// caseTimeout ends a case that hangs.
	caseTimeout = 2 * time.Minute
)

var actor = audit.Actor{UserID: "user-7", TenantID: "tenant-3", IP: "192.0.2.7", UserAgent: "storetest/1", RequestID: "request-9"}

type env struct {
	testing.TB
	h      Harness
	ctx    context.Context
	bucket driver.Bucket
	prefix string

	memory audit.Memory // the trail without faults
	ahead  atomic.Int64 // nanoseconds by which its clock is ahead
	trail  *audittest.Faults
	store  *blobstore.Store
	links  *signurl.Signer // the signer of store
}

func (c testCase) on(tb testing.TB, h Harness, shared driver.Bucket) {
	ctx, cancel := context.WithTimeout(audit.WithActor(context.Background(), actor), caseTimeout)
	tb.Cleanup(cancel)
	e := &env{TB: tb, h: h, ctx: ctx, bucket: shared, prefix: "st-" + strings.ToLower(rand.Text()[:10]) + "/"}
	if e.bucket == nil {
		e.bucket = h.Bucket(tb)
		tb.Cleanup(func() { _ = e.bucket.Close() }) // a store may already have closed it
	}
	e.memory.Now = func() time.Time { return time.Now().Add(time.Duration(e.ahead.Load())) }
	e.trail = audittest.NewFaults(&e.memory)
	e.links = e.signer()
	e.store = e.open(&blobstore.Options{Signer: e.links})
	c.run(e)
	e.noResidue()
}

// open opens another store over the case's bucket and trail.
func (e *env) open(opts *blobstore.Options) *blobstore.Store {
	e.Helper()
	s, err := e.tryOpen(e.trail, opts)
	require.NoError(e, err)
	e.Cleanup(func() { _ = s.Close(context.Background()) }) // the case may already have closed it
	return s
}

func (e *env) tryOpen(journal audit.Journal, opts *blobstore.Options) (*blobstore.Store, error) {
	var o blobstore.Options
	if opts != nil {
		o = *opts
	}
	if o.Lease == 0 {
		o.Lease = lease
	}
	if o.Signer == nil {
		o.Signer = e.signer()
	}
	if e.h.Store != nil {
		return e.h.Store(e.bucket, journal, &o)
	}
	return blobstore.New(keptOpen{e.bucket}, journal, &o)
}

// keptOpen is a bucket that ignores Close, so that several stores can use it.
type keptOpen struct{ driver.Bucket }

func (keptOpen) Close() error { return nil }

// ObserveCreateOnly implements provider.Observer if the bucket does.
func (b keptOpen) ObserveCreateOnly(holds bool) {
	if o, ok := b.Bucket.(provider.Observer); ok {
		o.ObserveCreateOnly(holds)
	}
}

// Precheck implements provider.Prechecker if the bucket does.
func (b keptOpen) Precheck(ctx context.Context, key string) error {
	if p, ok := b.Bucket.(provider.Prechecker); ok {
		return p.Precheck(ctx, key)
	}
	return nil
}

func (e *env) signer() *signurl.Signer {
	s, err := signurl.New("http://files.example/f/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(e, err)
	return s
}

func (e *env) can() driver.Capabilities { return e.store.Info().Capabilities }

// need skips the case if the backend lacks the capability.
func (e *env) need(has bool, capability string) {
	e.Helper()
	if !has {
		e.Skipf("not supported by this backend according to Capabilities.%s", capability)
	}
}

func (e *env) key(name string) string { return e.prefix + name }

// content returns n random bytes. A pattern could hide errors with compression
// or repeated blocks.
func content(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// rich returns options that set every value stored with the object.
func rich(overwrite bool) *blobstore.UploadOptions {
	return &blobstore.UploadOptions{
		Filename: "Rechnung März.pdf", ContentType: "application/x-old", CacheControl: "max-age=60",
		Metadata: map[string]string{"project": "alpha", "note": "größer als »nichts«"}, Overwrite: overwrite,
	}
}

func (e *env) put(key string, data []byte, opts *blobstore.UploadOptions) *blobstore.Object {
	e.Helper()
	obj, err := e.store.Upload(e.ctx, key, bytes.NewReader(data), opts)
	require.NoError(e, err)
	return obj
}

func (e *env) get(key string) []byte {
	e.Helper()
	return e.getWith(key, nil)
}

func (e *env) getWith(key string, opts *blobstore.DownloadOptions) []byte {
	e.Helper()
	r, err := e.store.Download(e.ctx, key, opts)
	require.NoError(e, err)
	data, err := io.ReadAll(r)
	require.NoError(e, err)
	require.NoError(e, r.Close())
	return data
}

func (e *env) stat(key string) *blobstore.Object {
	e.Helper()
	obj, err := e.store.Stat(e.ctx, key)
	require.NoError(e, err)
	return obj
}

// list returns the keys listed by the store, without the case's prefix.
func (e *env) list(opts blobstore.ListOptions) []string {
	e.Helper()
	opts.Prefix = e.prefix + opts.Prefix
	keys := []string{}
	for obj, err := range e.store.List(e.ctx, &opts) {
		require.NoError(e, err)
		keys = append(keys, strings.TrimPrefix(obj.Key, e.prefix))
	}
	return keys
}

// has checks that the case has exactly these objects, both in the store's
// listing and in the underlying bucket.
func (e *env) has(names ...string) {
	e.Helper()
	if names == nil {
		names = []string{}
	}
	slices.Sort(names)
	assert.Equal(e, names, e.list(blobstore.ListOptions{}), "in the store's listing")

	raw := []string{}
	it := e.bucket.Blob().List(&blob.ListOptions{Prefix: e.prefix})
	for {
		obj, err := it.Next(e.ctx)
		if err == io.EOF {
			break
		}
		require.NoError(e, err)
		raw = append(raw, strings.TrimPrefix(obj.Key, e.prefix))
	}
	slices.Sort(raw) // not every driver of the Go CDK returns sorted keys
	assert.Equal(e, names, raw, "in the underlying bucket")
}

func (e *env) noResidue() {
	e.Helper()
	if e.h.Residue != nil && !e.Skipped() {
		assert.Empty(e, e.h.Residue(e, e.bucket, e.prefix), "leftovers below the prefix")
	}
}

// isError checks that err is a *blobstore.Error for op and key that matches
// each of want.
func (e *env) isError(err error, op, key string, want ...error) {
	e.Helper()
	require.Error(e, err)
	var be *blobstore.Error
	require.ErrorAs(e, err, &be)
	assert.Equal(e, op, be.Op)
	assert.Equal(e, key, be.Key)
	for _, w := range want {
		require.ErrorIs(e, err, w)
	}
}

// entries returns all entries of the trail, oldest first.
func (e *env) entries() []audit.Entry {
	e.Helper()
	all := []audit.Entry{}
	for entry, err := range e.memory.Entries(context.Background(), audit.Query{}) {
		require.NoError(e, err)
		all = append(all, entry)
	}
	return all
}

// since runs do and returns the entries added to the trail.
func (e *env) since(do func()) []audit.Entry {
	e.Helper()
	n := len(e.entries())
	do()
	return e.entries()[n:]
}

// one runs do and returns the entry it added to the trail. do must add exactly
// one.
func (e *env) one(do func()) audit.Entry {
	e.Helper()
	added := e.since(do)
	require.Len(e, added, 1, "entries added to the trail")
	return added[0]
}

// settled checks that no intent is open.
func (e *env) settled() {
	e.Helper()
	assert.Zero(e, e.memory.OpenIntents(), "open intents")
}

// leasesEnd makes the leases of all open intents expire.
func (e *env) leasesEnd() { e.ahead.Add(int64(2 * lease)) }

// fail makes the next call fail, before or after it takes effect.
func (e *env) fail(call audittest.Call, after bool) {
	e.trail.Add(audittest.Fault{Call: call, Nth: 1, After: after, Err: errTrail})
}

var (
	errTrail  = errors.New("the trail is down")
	errReader = errors.New("the reader is broken")
)

func sum(data []byte) []byte {
	s := sha256.Sum256(data)
	return s[:]
}

// same checks that an object is unchanged, including its content.
func (e *env) same(was *blobstore.Object, data []byte) {
	e.Helper()
	is := e.stat(was.Key)
	assert.True(e, was.ModTime.Equal(is.ModTime), "modification time")
	was, is = new(*was), new(*is)
	was.ModTime, is.ModTime = time.Time{}, time.Time{}
	assert.Equal(e, was, is)
	assert.True(e, bytes.Equal(data, e.get(was.Key)), "content")
}

// tamper replaces an object's content directly in the bucket, without the
// store.
func (e *env) tamper(key string, data []byte) {
	e.Helper()
	a, err := e.bucket.Blob().Attributes(e.ctx, key)
	require.NoError(e, err)
	require.NoError(e, e.bucket.Write(e.ctx, key, bytes.NewReader(data), &driver.WriteOptions{
		Size: -1, ContentType: a.ContentType, CacheControl: a.CacheControl, Metadata: maps.Clone(a.Metadata),
	}))
}
