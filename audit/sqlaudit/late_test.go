package sqlaudit_test

// This file tests writes that take effect late: their process died, and the
// reconciler found no object and settled the operation as failed.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// delaying holds back writes until the test releases them.
type delaying struct {
	driver.Bucket
	lands []func() error
	then  func()
}

func (b *delaying) Write(_ context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	o = &driver.WriteOptions{ContentType: o.ContentType, Metadata: o.Metadata}
	b.lands = append(b.lands, func() error { return b.Bucket.Write(context.Background(), key, bytes.NewReader(data), o) })
	b.then()
	return errors.New("the connection was cut")
}

func TestLateWritesAreAmended(t *testing.T) { onEach(t, testLateWritesAreAmended) }

func testLateWritesAreAmended(t *testing.T, s *system) {
	const n = 10
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "u-1"})
	j, db := s.open(t, nil)
	base := driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "mem", Bucket: "files"})
	store, err := blobstore.New(base, j, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close(context.Background())) })
	bucket := &delaying{Bucket: base}
	for i := range n {
		dying, _ := openDSN(t, db.dsn, nil)
		bucket.then = func() { assert.NoError(t, dying.Close(context.Background())) }
		s, err := blobstore.New(bucket, dying, nil)
		require.NoError(t, err)
		_, err = s.Upload(ctx, fmt.Sprint("files/", i), strings.NewReader("late"), nil)
		require.ErrorIs(t, err, audit.ErrClosed)
	}
	require.Equal(t, n, db.count(t, "file_access_intents"))
	db.exec(t, "UPDATE file_access_intents SET lease_until = 0")
	done, err := store.Reconcile(ctx)
	require.NoError(t, err)
	require.Equal(t, blobstore.Reconciled{Failed: n}, done)

	for _, land := range bucket.lands {
		require.NoError(t, land())
	}
	began := time.Now()
	done, err = store.Reconcile(ctx)
	require.NoError(t, err)
	took := time.Since(began)
	assert.Equal(t, blobstore.Reconciled{Amended: n}, done)
	done, err = store.Reconcile(ctx)
	require.NoError(t, err)
	assert.Zero(t, done)

	final, amended := make(map[string]int), make(map[string]int)
	for _, e := range entries(t, j, audit.Query{Actions: []audit.Action{audit.ActionUpload}}) {
		if e.RefOpID == "" {
			assert.Equal(t, audit.OutcomeFailed, e.Outcome)
			final[e.OpID]++
			continue
		}
		assert.Equal(t, audit.OutcomeOK, e.Outcome)
		assert.EqualValues(t, 4, *e.Size)
		amended[e.RefOpID]++
	}
	assert.Len(t, final, n)
	assert.Equal(t, final, amended, "one final entry and one amendment for each")
	t.Logf("%d writes landed after their settlement: %d final entries, %d amendments, found in %v", n, len(final), len(amended), took.Round(time.Millisecond))
}
