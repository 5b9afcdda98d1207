package storetest

// This file implements the cases of tickets. Content uploaded by clients is
// stored under a private key until it is accepted.

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/keyrule"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// refusing is a bucket that refuses every deletion, like a bucket with an
// object lock.
type refusing struct{ driver.Bucket }

func (refusing) Close() error { return nil }

func (refusing) Delete(_ context.Context, key string, _ *driver.DeleteOptions) error {
	return &fs.PathError{Op: "delete", Path: key, Err: fs.ErrPermission}
}

// on opens a store over another bucket, with the case's trail.
func (e *env) on(b driver.Bucket) *blobstore.Store {
	e.Helper()
	if e.h.Store != nil {
		e.Skip("Harness.Store may leave out what a bucket does differently")
	}
	s, err := blobstore.New(b, e.trail, &blobstore.Options{Lease: lease, Signer: e.signer()})
	require.NoError(e, err)
	return s
}

func (e *env) ticket(name string) *blobstore.Ticket {
	e.Helper()
	tk, err := e.store.BeginUpload(e.ctx, e.key(name), 0, nil)
	require.NoError(e, err)
	return tk
}

// send uploads content for a ticket: through the handler, or directly to the
// private key as a service does.
func (e *env) send(tk *blobstore.Ticket, data []byte) {
	e.Helper()
	if !e.signs(http.MethodPut) {
		r, err := http.NewRequestWithContext(e.ctx, http.MethodPut, tk.Link.URL(), nil)
		require.NoError(e, err)
		r.ContentLength = -1
		red, err := e.store.Redeem(r)
		require.NoError(e, err)
		_, err = red.Upload(e.ctx, bytes.NewReader(data), &blobstore.UploadOptions{ContentType: "text/plain"})
		require.NoError(e, err)
		return
	}
	e.sendRaw(tk, data, &driver.WriteOptions{Size: -1, ContentType: "text/plain"})
}

func (e *env) sendRaw(tk *blobstore.Ticket, data []byte, o *driver.WriteOptions) {
	e.Helper()
	require.NoError(e, e.bucket.Write(e.ctx, keyrule.Uploads+tk.ID, bytes.NewReader(data), o))
}

// received returns the private keys of the tickets with uploaded content.
func (e *env) received(tickets ...*blobstore.Ticket) (keys []string) {
	e.Helper()
	for item, err := range e.bucket.List(e.ctx, &blob.ListOptions{Prefix: keyrule.Uploads}) {
		require.NoError(e, err)
		for _, tk := range tickets {
			if item.Key == keyrule.Uploads+tk.ID {
				keys = append(keys, item.Key)
			}
		}
	}
	return keys
}

// uploadsOf returns the recorded outcomes of an operation, without attempts to
// upload.
func (e *env) uploadsOf(tk *blobstore.Ticket) (outcomes []audit.Outcome) {
	for _, entry := range e.entries() {
		if entry.Action == audit.ActionUpload && (entry.OpID == tk.ID || entry.RefOpID == tk.ID && entry.GrantID != tk.Link.GrantID) {
			outcomes = append(outcomes, entry.Outcome)
		}
	}
	return outcomes
}

func ticketCases() []testCase {
	return []testCase{
		{"the content of a ticket MUST NOT be readable before completion, and MUST be removed if never completed", func(e *env) {
			tk := e.ticket("a")
			e.send(tk, []byte("content"))
			require.Len(e, e.received(tk), 1)
			_, err := e.store.Stat(e.ctx, tk.Key)
			e.isError(err, "stat", tk.Key, fs.ErrNotExist)
			_, err = e.store.Download(e.ctx, tk.Key, nil)
			e.isError(err, "download", tk.Key, fs.ErrNotExist)
			e.has()
			for obj, err := range e.store.List(e.ctx, &blobstore.ListOptions{Prefix: keyrule.Uploads}) {
				require.NoError(e, err)
				require.Fail(e, "a private key was listed", obj.Key)
			}
			for _, key := range []string{keyrule.Uploads + tk.ID, ".Blobtrail/uploads/" + tk.ID} {
				_, err = e.store.Stat(e.ctx, key)
				e.isError(err, "stat", key, blobstore.ErrInvalidKey)
				e.isError(e.store.Copy(e.ctx, e.key("b"), key, nil), "copy", e.key("b"), blobstore.ErrInvalidKey)
			}
			e.leasesEnd()
			done, err := e.store.Reconcile(e.ctx)
			require.NoError(e, err)
			assert.Equal(e, 1, done.Failed)
			assert.Empty(e, e.received(tk))
			assert.Equal(e, []audit.Outcome{audit.OutcomeFailed}, e.uploadsOf(tk))
			e.settled()
		}},
		{"the object of a completed ticket MUST take only the content from the client", func(e *env) {
			tk := e.ticket("a")
			data := content(100 << 10)
			e.sendRaw(tk, data, &driver.WriteOptions{
				Size: int64(len(data)), ContentType: "text/plain", CacheControl: "public, max-age=31536000",
				Metadata: map[string]string{provider.MetaSHA256: "nonsense", provider.MetaFilename: "eve.exe", provider.MetaOp: "eve", "owner": "eve"},
			})
			for range 2 {
				obj, err := e.store.Ticket(tk.Key, tk.ID).Complete(e.ctx)
				require.NoError(e, err)
				assert.Equal(e, tk.ID, obj.OpID)
				assert.Equal(e, int64(len(data)), obj.Size)
				is := e.stat(tk.Key)
				assert.Equal(e, "text/plain", is.ContentType)
				assert.Empty(e, is.CacheControl+is.Filename)
				assert.Empty(e, is.Metadata)
				if is.SHA256 != nil {
					assert.Equal(e, sum(data), is.SHA256)
				}
				assert.Equal(e, tk.ID, is.OpID)
				assert.True(e, bytes.Equal(data, e.get(tk.Key)))
			}
			assert.Empty(e, e.received(tk))
			assert.Equal(e, []audit.Outcome{audit.OutcomeOK}, e.uploadsOf(tk))
			e.has("a")
			e.settled()
		}},
		{"a ticket for a key that exists by then MUST fail and leave nothing", func(e *env) {
			tk := e.ticket("a")
			e.send(tk, []byte("content"))
			e.put(e.key("a"), []byte("other"), nil)
			_, err := e.store.Ticket(tk.Key, tk.ID).Complete(e.ctx)
			e.isError(err, "complete upload", tk.Key, fs.ErrExist)
			assert.Equal(e, "other", string(e.get(e.key("a"))))
			assert.Empty(e, e.received(tk))
			e.settled()
		}},
		{"a ticket completed concurrently MUST be settled once", func(e *env) {
			tk := e.ticket("a")
			e.send(tk, []byte("content"))
			stores := []*blobstore.Store{e.store, e.open(nil)}
			errs := make([]error, 4)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { _, errs[i] = stores[i%2].Ticket(tk.Key, tk.ID).Complete(e.ctx) })
			}
			wg.Wait()
			for _, err := range errs {
				assert.True(e, err == nil || errors.Is(err, blobstore.ErrBusy), "%v", err)
			}
			_, err := e.store.Ticket(tk.Key, tk.ID).Complete(e.ctx)
			require.NoError(e, err)
			assert.Equal(e, []audit.Outcome{audit.OutcomeOK}, e.uploadsOf(tk))
			assert.Equal(e, "content", string(e.get(tk.Key)))
			assert.Empty(e, e.received(tk))
			e.settled()
		}},
		{"a ticket MUST be settled even if deletion is refused, with the leftovers recorded and removed later", leftovers},
	}
}

func leftovers(e *env) {
	locked := e.on(refusing{e.bucket})
	good, bad, aborted, abandoned := e.ticket("good"), e.ticket("bad"), e.ticket("aborted"), e.ticket("abandoned")
	e.put(e.key("bad"), []byte("other"), nil)
	for _, tk := range []*blobstore.Ticket{good, aborted, abandoned} {
		e.send(tk, []byte("content"))
	}
	e.sendRaw(bad, []byte("content"), &driver.WriteOptions{Size: -1, ContentType: "text/plain"})
	_, err := locked.Ticket(good.Key, good.ID).Complete(e.ctx)
	require.NoError(e, err, "a failed cleanup does not fail the upload")
	_, err = locked.Ticket(bad.Key, bad.ID).Complete(e.ctx)
	e.isError(err, "complete upload", bad.Key, fs.ErrExist)
	require.NoError(e, locked.Ticket(aborted.Key, aborted.ID).Abort(e.ctx))
	assert.Equal(e, 1, e.memory.OpenIntents())
	e.leasesEnd()
	for range 2 {
		_, err = locked.Reconcile(e.ctx)
		require.ErrorIs(e, err, fs.ErrPermission, "the leftovers are reported")
	}
	e.settled()
	assert.Equal(e, []audit.Outcome{audit.OutcomeOK}, e.uploadsOf(good))
	reported := 0
	for _, entry := range e.entries() {
		if entry.Action == audit.ActionReconcile {
			reported++
			assert.Equal(e, audit.OutcomeFailed, entry.Outcome)
			assert.Equal(e, "permission", entry.ErrorCode)
		}
	}
	assert.Equal(e, 4, reported, "once for each")
	for _, tk := range []*blobstore.Ticket{bad, aborted, abandoned} {
		got := e.uploadsOf(tk)
		if assert.Len(e, got, 1) {
			assert.NotEqual(e, audit.OutcomeOK, got[0])
		}
	}
	assert.Len(e, e.received(good, bad, aborted, abandoned), 4)
	assert.Equal(e, "content", string(e.get(good.Key)))

	_, err = e.store.Reconcile(e.ctx)
	require.NoError(e, err)
	assert.Empty(e, e.received(good, bad, aborted, abandoned))
	e.has("bad", "good")
	e.settled()
}
