package storetest

// This file implements the cases of Store.Check. A check finds no error in a
// working backend and leaves only its record.

import (
	"bytes"
	"context"
	"io"
	"io/fs"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

func checkCases() []testCase {
	return []testCase{
		{"a check MUST succeed and leave only its record", func(e *env) {
			entry := e.one(func() { require.NoError(e, e.store.Check(e.ctx)) })
			e.recorded(entry, audit.ActionCheck, audit.OutcomeOK, entry.Key)
			require.Error(e, blobstore.CheckKey(entry.Key), "no operation of a store can access it")
			_, err := e.bucket.Read(e.ctx, entry.Key, 0, -1)
			require.ErrorIs(e, err, fs.ErrNotExist)
			e.settled()
			assert.Empty(e, e.canaries())
		}},
		{"a check MUST NOT need an actor or call the authorizer", func(e *env) {
			s := e.open(&blobstore.Options{Authorize: func(context.Context, audit.Event) error { return fs.ErrPermission }})
			entry := e.one(func() { require.NoError(e, s.Check(context.Background())) })
			assert.Equal(e, audit.ActionCheck, entry.Action)
			assert.Equal(e, audit.Actor{}, entry.Actor)
		}},
		{"a check whose intent cannot be recorded MUST change nothing", func(e *env) {
			e.fail(audittest.CallBegin, false)
			added := e.since(func() {
				err := e.store.Check(e.ctx)
				e.isError(err, "check", "", blobstore.ErrAudit, errTrail)
				var ce *blobstore.CheckError
				require.ErrorAs(e, err, &ce)
				assert.Equal(e, "trail", ce.Step)
			})
			assert.Empty(e, added)
			assert.Empty(e, e.canaries())
		}},
		{"the object of a check interrupted by a crash MUST be removed by the reconciler", func(e *env) {
			id := e.begin(func() error { return e.store.Check(e.ctx) })
			key := ".blobtrail/check/" + id
			require.NoError(e, e.bucket.Write(e.ctx, key, bytes.NewReader(nil), &driver.WriteOptions{
				Size: -1, ContentType: "text/plain", Metadata: map[string]string{provider.MetaOp: id},
			}))
			entry := e.reconciled(blobstore.Reconciled{Failed: 1})[0]
			e.recorded(entry, audit.ActionCheck, audit.OutcomeFailed, key)
			assert.Equal(e, "interrupted", entry.ErrorCode)
			_, err := e.bucket.Read(e.ctx, key, 0, -1)
			require.ErrorIs(e, err, fs.ErrNotExist)
		}},
	}
}

// canaries returns the objects left by checks, as listed by the driver.
func (e *env) canaries() (keys []string) {
	it := e.bucket.Blob().List(&blob.ListOptions{Prefix: ".blobtrail/check/"})
	for {
		obj, err := it.Next(e.ctx)
		if err == io.EOF {
			return keys
		}
		require.NoError(e, err)
		keys = append(keys, obj.Key)
	}
}
