package sqlaudit_test

// This file implements a complete trail for the tests of its proof.

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/secret"
)

// trail is a database with the keys of its deployment, and a bucket.
type trail struct {
	dsn     string
	signing secret.Text
	key     string
	bucket  *blob.Bucket
}

func newTrail(t testing.TB) *trail { return newTrailOn(t, sqliteSystem) }

func newTrailOn(t testing.TB, s *system) *trail {
	t.Helper()
	signing, key, err := sqlaudit.GenerateDeploymentKey("example.com/trail")
	require.NoError(t, err)
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { require.NoError(t, bucket.Close()) })
	return &trail{s.dsn(t), signing, key, bucket}
}

// open opens a journal that the caller closes. It publishes when it is closed,
// or on demand.
func (tr *trail) open(t testing.TB, change ...func(*sqlaudit.Options)) *sqlaudit.Journal {
	t.Helper()
	o := &sqlaudit.Options{Logger: quiet, DeploymentKey: tr.signing, Publish: &sqlaudit.PublishOptions{To: sqlaudit.Checkpoints{Bucket: tr.bucket, Prefix: "checkpoints/"}, Entries: 1 << 30, Every: time.Hour}}
	for _, c := range change {
		c(o)
	}
	j, err := sqlaudit.Open(t.Context(), tr.dsn, o)
	require.NoError(t, err)
	return j
}

// write records n entries in a separate process.
func (tr *trail) write(t testing.TB, n int) (writer string) {
	t.Helper()
	j := tr.open(t)
	logMany(t, j, n)
	require.NoError(t, j.Close(context.Background()))
	return sqlaudit.WriterID(j)
}

// logMany records n entries, some of them in shared transactions.
func logMany(t testing.TB, j *sqlaudit.Journal, n int) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for caller := range min(n, 16) {
		wg.Go(func() {
			for i := caller; i < n; i += 16 {
				errs <- j.Log(context.Background(), event(fmt.Sprintf("files/%d", i)))
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func (tr *trail) verify(t testing.TB, change ...func(*sqlaudit.VerifyOptions)) *proof.Report {
	t.Helper()
	return verifyAt(t, tr.dsn, tr, change...)
}

func verifyAt(t testing.TB, dsn string, tr *trail, change ...func(*sqlaudit.VerifyOptions)) *proof.Report {
	t.Helper()
	db := newRaw(t, dsn)
	defer db.Close()
	o := &sqlaudit.VerifyOptions{Keys: []string{tr.key}, Published: sqlaudit.Checkpoints{Bucket: tr.bucket, Prefix: "checkpoints/"}}
	for _, c := range change {
		c(o)
	}
	report, err := sqlaudit.Verify(t.Context(), db.DB.DB, o)
	require.NoError(t, err)
	return report
}

// requireSound fails with the findings.
func requireSound(t testing.TB, r *proof.Report) {
	t.Helper()
	require.NoError(t, r.Err(), "%v", r.Findings)
}

// dropTriggers is the first step of an attacker who owns the database, here
// SQLite.
func dropTriggers(t testing.TB, db *raw) {
	t.Helper()
	var names []string
	require.NoError(t, db.Select(&names, "SELECT name FROM sqlite_master WHERE type = 'trigger'"))
	require.NotEmpty(t, names)
	for _, name := range names {
		_, err := db.Exec("DROP TRIGGER " + name)
		require.NoError(t, err)
	}
}
