package storetest

// This file implements the cases of the reconciler, which settles the
// operations of killed processes.

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// reconciled makes the leases expire, reconciles, and compares the counts. It
// checks that a second run settles nothing, and returns the new entries.
func (e *env) reconciled(want blobstore.Reconciled) []audit.Entry {
	e.Helper()
	e.trail.Clear()
	before, err := e.store.Reconcile(e.ctx)
	require.NoError(e, err)
	assert.Zero(e, before, "no operation is settled before its lease expires")
	e.leasesEnd()
	added := e.since(func() {
		done, err := e.store.Reconcile(e.ctx)
		require.NoError(e, err)
		assert.Equal(e, want, done)
	})
	e.settled()
	require.NotEmpty(e, added)
	assert.Equal(e, audit.SettledByReconciler, added[0].SettledBy)
	e.leasesEnd()
	again, err := e.store.Reconcile(e.ctx)
	require.NoError(e, err)
	assert.Zero(e, again)
	return added
}

// begin leaves an open intent, like a process killed before the operation took
// effect, and returns its ID.
func (e *env) begin(do func() error) string {
	e.Helper()
	e.fail(audittest.CallBegin, true)
	require.ErrorIs(e, do(), blobstore.ErrAudit)
	e.leasesEnd()
	id := ""
	for in, err := range e.memory.Dangling(e.ctx, audit.DanglingQuery{Lease: lease}) {
		require.NoError(e, err)
		require.Empty(e, id)
		id = in.OpID()
	}
	require.NotEmpty(e, id)
	return id
}

// eventually waits until d has passed, for backends with coarse clocks: a later
// object must have a later time.
func (e *env) eventually(d time.Duration, ok bool) {
	e.Helper()
	require.True(e, ok)
	start := time.Now()
	require.Eventually(e, func() bool { return time.Since(start) > d }, time.Minute, d/4)
}

func reconcileCases() []testCase {
	write := func(e *env, key, op string, data []byte) {
		require.NoError(e, e.bucket.Write(e.ctx, key, bytes.NewReader(data), &driver.WriteOptions{
			Size: -1, ContentType: "text/plain", Metadata: map[string]string{provider.MetaOp: op},
		}))
	}
	return []testCase{
		{"an upload interrupted after its effect MUST be settled as done, with the description of the object", func(e *env) {
			data := content(5000)
			id := e.begin(func() error {
				_, err := e.store.Upload(e.ctx, e.key("a"), bytes.NewReader(data), &blobstore.UploadOptions{Resource: audit.Resource{Type: "invoice", ID: "42"}})
				return err
			})
			write(e, e.key("a"), id, data)
			entry := e.reconciled(blobstore.Reconciled{OK: 1})[0]
			e.recorded(entry, audit.ActionUpload, audit.OutcomeOK, e.key("a"))
			assert.Equal(e, id, entry.OpID)
			assert.Equal(e, int64(5000), *entry.Size)
			assert.Equal(e, sum(data), entry.SHA256)
			assert.Equal(e, "text/plain", entry.ContentType)
			assert.Equal(e, audit.Resource{Type: "invoice", ID: "42"}, entry.Resource)
		}},
		{"an upload interrupted before its effect MUST be settled as failed, with the old object intact", func(e *env) {
			old := content(500)
			e.put(e.key("a"), old, rich(false))
			was := e.stat(e.key("a"))
			e.clockPasses(was.ModTime)
			e.begin(func() error {
				_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("new"), &blobstore.UploadOptions{Overwrite: true})
				return err
			})
			entry := e.reconciled(blobstore.Reconciled{Failed: 1})[0]
			e.recorded(entry, audit.ActionUpload, audit.OutcomeFailed, e.key("a"))
			assert.Equal(e, "interrupted", entry.ErrorCode)
			e.same(was, old)
		}},
		{"an upload possibly replaced by another MUST be settled as unknown", func(e *env) {
			id := e.begin(func() error {
				_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("one"), nil)
				return err
			})
			write(e, e.key("a"), id, []byte("one"))
			e.put(e.key("a"), []byte("two"), &blobstore.UploadOptions{Overwrite: true})
			entry := e.reconciled(blobstore.Reconciled{Unknown: 1})[0]
			e.recorded(entry, audit.ActionUpload, audit.OutcomeUnknown, e.key("a"))
			assert.Equal(e, "two", string(e.get(e.key("a"))))
		}},
		{"a deletion interrupted before its effect MUST be settled as failed", func(e *env) {
			e.fill()
			e.begin(func() error { return e.store.Delete(e.ctx, e.key("a"), nil) })
			entry := e.reconciled(blobstore.Reconciled{Failed: 1})[0]
			e.recorded(entry, audit.ActionDelete, audit.OutcomeFailed, e.key("a"))
			e.has("a", "b")
		}},
		{"a deletion interrupted after its effect MUST be settled as done", func(e *env) {
			e.fill()
			e.begin(func() error { return e.store.Delete(e.ctx, e.key("a"), nil) })
			require.NoError(e, e.bucket.Delete(e.ctx, e.key("a"), &driver.DeleteOptions{}))
			entry := e.reconciled(blobstore.Reconciled{OK: 1})[0]
			e.recorded(entry, audit.ActionDelete, audit.OutcomeOK, e.key("a"))
		}},
		{"a deletion followed by another object MUST be settled as unknown", func(e *env) {
			e.fill()
			e.begin(func() error { return e.store.Delete(e.ctx, e.key("a"), nil) })
			e.put(e.key("a"), []byte("another"), &blobstore.UploadOptions{Overwrite: true})
			entry := e.reconciled(blobstore.Reconciled{Unknown: 1})[0]
			e.recorded(entry, audit.ActionDelete, audit.OutcomeUnknown, e.key("a"))
			assert.Equal(e, "another", string(e.get(e.key("a"))))
		}},
		{"a copy interrupted after its effect MUST be settled as done", func(e *env) {
			e.fill()
			id := e.begin(func() error { return e.store.Copy(e.ctx, e.key("c"), e.key("a"), nil) })
			require.NoError(e, e.bucket.Copy(e.ctx, e.key("c"), e.key("a"), &driver.CopyOptions{Metadata: map[string]string{provider.MetaOp: id}}))
			entry := e.reconciled(blobstore.Reconciled{OK: 1})[0]
			e.recorded(entry, audit.ActionCopy, audit.OutcomeOK, e.key("c"))
			e.has("a", "b", "c")
		}},
		{"a move interrupted between copy and deletion MUST be completed", func(e *env) {
			e.fill()
			id := e.begin(func() error { return e.store.Move(e.ctx, e.key("c"), e.key("a"), nil) })
			require.NoError(e, e.bucket.Copy(e.ctx, e.key("c"), e.key("a"), &driver.CopyOptions{Metadata: map[string]string{provider.MetaOp: id}}))
			added := e.reconciled(blobstore.Reconciled{OK: 1})
			require.Len(e, added, 2)
			e.recorded(added[0], audit.ActionMove, audit.OutcomeOK, e.key("c"))
			e.recorded(added[1], audit.ActionDelete, audit.OutcomeOK, e.key("a"))
			e.has("b", "c")
			assert.Equal(e, "content of a", string(e.get(e.key("c"))))
		}},
		{"a move over an object interrupted between copy and deletion MUST be completed", func(e *env) {
			e.fill()
			id := e.begin(func() error {
				return e.store.Move(e.ctx, e.key("b"), e.key("a"), &blobstore.CopyOptions{Overwrite: true})
			})
			require.NoError(e, e.bucket.Copy(e.ctx, e.key("b"), e.key("a"), &driver.CopyOptions{Metadata: map[string]string{provider.MetaOp: id}}))
			added := e.reconciled(blobstore.Reconciled{OK: 1})
			require.Len(e, added, 2)
			e.recorded(added[0], audit.ActionMove, audit.OutcomeOK, e.key("b"))
			e.recorded(added[1], audit.ActionDelete, audit.OutcomeOK, e.key("a"))
			e.has("b")
			assert.Equal(e, "content of a", string(e.get(e.key("b"))))
		}},
		{"a move interrupted after its effect MUST be settled as done, for both keys", func(e *env) {
			e.fill()
			id := e.begin(func() error { return e.store.Move(e.ctx, e.key("c"), e.key("a"), nil) })
			require.NoError(e, e.bucket.Copy(e.ctx, e.key("c"), e.key("a"), &driver.CopyOptions{Metadata: map[string]string{provider.MetaOp: id}}))
			require.NoError(e, e.bucket.Delete(e.ctx, e.key("a"), &driver.DeleteOptions{}))
			added := e.reconciled(blobstore.Reconciled{OK: 1})
			require.Len(e, added, 2)
			e.recorded(added[0], audit.ActionMove, audit.OutcomeOK, e.key("c"))
			e.recorded(added[1], audit.ActionDelete, audit.OutcomeOK, e.key("a"))
			assert.Equal(e, added[0].OpID, added[1].RefOpID)
		}},
		{"a running operation MUST NOT be settled", func(e *env) {
			started, finish := make(chan struct{}), make(chan struct{})
			done := make(chan error, 1)
			go func() {
				_, err := e.store.Upload(e.ctx, e.key("a"), &waiting{started: started, finish: finish}, nil)
				done <- err
			}()
			<-started
			got, err := e.store.Reconcile(e.ctx)
			require.NoError(e, err)
			assert.Zero(e, got)
			close(finish)
			require.NoError(e, <-done)
			e.has("a")
		}},
		{"the intents of another bucket MUST NOT be settled", func(e *env) {
			_, err := e.memory.Begin(e.ctx, audit.Event{Action: audit.ActionUpload, Key: e.key("a"), Actor: actor, Backend: "elsewhere", Bucket: "x"}, lease)
			require.NoError(e, err)
			e.leasesEnd()
			done, err := e.store.Reconcile(e.ctx)
			require.NoError(e, err)
			assert.Zero(e, done)
			assert.Equal(e, 1, e.memory.OpenIntents())
		}},
		{"an intent of an unknown action MUST be settled as unknown", func(e *env) {
			_, err := e.memory.Begin(e.ctx, audit.Event{Action: "host.own", Key: e.key("a"), Actor: actor, Backend: e.store.Info().Backend, Bucket: e.recordedBucket()}, lease)
			require.NoError(e, err)
			e.leasesEnd()
			done, err := e.store.Reconcile(e.ctx)
			require.NoError(e, err)
			assert.Equal(e, blobstore.Reconciled{Unknown: 1}, done)
		}},
		{"a reconciler that cannot settle an intent MUST return an error and leave the intent open", func(e *env) {
			e.begin(func() error {
				_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("x"), nil)
				return err
			})
			e.leasesEnd()
			e.trail.Clear()
			e.fail(audittest.CallSettle, false)
			done, err := e.store.Reconcile(e.ctx)
			e.isError(err, "reconcile", "", blobstore.ErrAudit, errTrail)
			assert.Zero(e, done)
			assert.Equal(e, 1, e.memory.OpenIntents())
			e.reconciled(blobstore.Reconciled{Failed: 1})
		}},
		{"a reconciler with an ended context MUST return its error", func(e *env) {
			e.begin(func() error {
				_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("x"), nil)
				return err
			})
			e.leasesEnd()
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			_, err := e.store.Reconcile(ctx)
			e.isError(err, "reconcile", "", context.Canceled)
			assert.Equal(e, 1, e.memory.OpenIntents())
			done, err := e.store.Reconcile(e.ctx)
			require.NoError(e, err)
			assert.Equal(e, blobstore.Reconciled{Failed: 1}, done)
		}},
	}
}

// clockPasses waits until the current time is later than a time from the
// backend, which may be truncated to seconds.
func (e *env) clockPasses(t time.Time) {
	e.Helper()
	wait := 20 * time.Millisecond
	if t.Nanosecond() == 0 {
		wait = time.Second + 20*time.Millisecond
	}
	require.Eventually(e, func() bool { return time.Since(t) > wait }, time.Minute, 5*time.Millisecond)
}
