package blobstore

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// staging is a store and an application's database in the same SQLite file.
type staging struct {
	ctx     context.Context
	host    *sqlx.DB
	journal *sqlaudit.Journal
	store   *Store
}

func newStaging(t *testing.T, lease time.Duration) *staging {
	return newStagingWith(t, lease, nil)
}

func newStagingWith(t *testing.T, lease time.Duration, opts *sqlaudit.Options) *staging {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	dsn := filepath.Join(t.TempDir(), "app.db")
	journal, err := sqlaudit.Open(ctx, "sqlite:"+dsn, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, journal.Close(context.Background())) })
	host, err := sqlx.Open("sqlite", "file:"+dsn+"?_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, host.Close()) })
	host.MustExec("CREATE TABLE invoices (id TEXT PRIMARY KEY, file TEXT NOT NULL)")
	bucket := driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "mem", Bucket: "mem"})
	store, err := New(bucket, audit.Multi(journal), &Options{Lease: lease})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	return &staging{ctx, host, journal, store}
}

func (s *staging) stage(t *testing.T) *Staged {
	t.Helper()
	st, err := s.store.Stage(s.ctx, NewKey("invoices", "a.pdf"), strings.NewReader("%PDF-1.7"), nil)
	require.NoError(t, err)
	return st
}

// insert writes the application's row, tied to the staged upload.
func (s *staging) insert(t *testing.T, st *Staged) *sqlx.Tx {
	t.Helper()
	tx, err := s.host.BeginTxx(s.ctx, nil)
	require.NoError(t, err)
	_, err = tx.Exec("INSERT INTO invoices VALUES ('42', ?)", st.Object.Key)
	require.NoError(t, err)
	require.NoError(t, s.journal.CommitTx(s.ctx, tx, st))
	return tx
}

// die abandons a staged upload like a killed process.
func (st *Staged) die() {
	st.held.release()
	st.held = nil
	st.s.leave()
}

// reconcile settles open intents as if their leases had expired.
func (s *staging) reconcile(t *testing.T) {
	t.Helper()
	s.host.MustExec("UPDATE file_access_intents SET lease_until = 0")
	_, err := s.store.Reconcile(s.ctx)
	require.NoError(t, err)
	open, err := s.journal.OpenIntents(s.ctx)
	require.NoError(t, err)
	require.Zero(t, open)
}

// outcome returns the outcome of the only upload in the trail. Row and file
// must agree.
func (s *staging) outcome(t *testing.T, key string) string {
	t.Helper()
	var got []string
	for e, err := range s.journal.Entries(s.ctx, audit.Query{Actions: []audit.Action{audit.ActionUpload}}) {
		require.NoError(t, err)
		got = append(got, strings.TrimSuffix(string(e.Outcome)+" "+e.ErrorCode, " "))
	}
	require.Len(t, got, 1)
	var rows int
	require.NoError(t, s.host.Get(&rows, "SELECT count(*) FROM invoices WHERE file = ?", key))
	_, err := s.store.Stat(s.ctx, key)
	if rows == 0 {
		require.ErrorIs(t, err, fs.ErrNotExist, "a file without its row")
	} else {
		require.NoError(t, err, "a row without its file")
	}
	return got[0]
}

func TestStage(t *testing.T) {
	t.Run("committed", func(t *testing.T) {
		s := newStaging(t, 0)
		st := s.stage(t)
		require.NoError(t, s.insert(t, st).Commit())
		require.NoError(t, st.Commit(s.ctx))
		require.Equal(t, "ok", s.outcome(t, st.Object.Key))
		require.ErrorIs(t, st.Commit(s.ctx), errFinished)
		require.ErrorIs(t, st.Discard(s.ctx), errFinished)
	})
	t.Run("rolled back", func(t *testing.T) {
		s := newStaging(t, 0)
		st := s.stage(t)
		require.NoError(t, s.insert(t, st).Rollback())
		require.NoError(t, st.Discard(s.ctx))
		require.Equal(t, "failed discarded", s.outcome(t, st.Object.Key))
	})
	t.Run("killed before the application's commit", func(t *testing.T) {
		s := newStaging(t, 0)
		st := s.stage(t)
		tx := s.insert(t, st)
		st.die()
		require.NoError(t, tx.Rollback()) // like the database for a dead client
		s.reconcile(t)
		require.Equal(t, "failed interrupted", s.outcome(t, st.Object.Key))
	})
	t.Run("killed after the application's commit", func(t *testing.T) {
		s := newStaging(t, 0)
		st := s.stage(t)
		require.NoError(t, s.insert(t, st).Commit())
		st.die()
		s.reconcile(t)
		require.Equal(t, "ok", s.outcome(t, st.Object.Key))
	})
	t.Run("left undecided", func(t *testing.T) {
		for _, committed := range []bool{true, false} {
			s := newStaging(t, 0)
			st := s.stage(t)
			tx, want := s.insert(t, st), "ok"
			if committed {
				require.NoError(t, tx.Commit())
			} else {
				require.NoError(t, tx.Rollback())
				want = "failed interrupted"
			}
			st.Leave()
			st.Leave()
			require.ErrorIs(t, st.Discard(s.ctx), errFinished)
			s.reconcile(t)
			require.Equal(t, want, s.outcome(t, st.Object.Key))
		}
	})
	t.Run("the lease is renewed during a slow transaction", func(t *testing.T) {
		s := newStaging(t, 5*time.Second)
		st := s.stage(t)
		const lease = "SELECT lease_until FROM file_access_intents"
		var begun int64
		require.NoError(t, s.host.Get(&begun, lease))
		require.Eventually(t, func() bool {
			var now int64
			return s.host.Get(&now, lease) == nil && now > begun
		}, time.Minute, 10*time.Millisecond, "it is renewed")
		r, err := s.store.Reconcile(s.ctx)
		require.NoError(t, err)
		require.Zero(t, r)
		require.NoError(t, s.insert(t, st).Commit())
		require.NoError(t, st.Commit(s.ctx))
		require.Equal(t, "ok", s.outcome(t, st.Object.Key))
	})
	t.Run("too late for the application's commit", func(t *testing.T) {
		s := newStaging(t, 0)
		st := s.stage(t)
		st.die()
		s.reconcile(t)
		tx, err := s.host.BeginTxx(s.ctx, nil)
		require.NoError(t, err)
		require.ErrorIs(t, s.journal.CommitTx(s.ctx, tx, st), audit.ErrNotHeld)
		require.NoError(t, tx.Rollback())
		require.Equal(t, "failed interrupted", s.outcome(t, st.Object.Key))
	})
	t.Run("a failed upload stages nothing", func(t *testing.T) {
		s := newStaging(t, 0)
		cause := errors.New("the scanner jammed")
		_, err := s.store.Stage(s.ctx, "a/b", &failingReader{err: cause}, nil)
		require.ErrorIs(t, err, cause)
		require.Equal(t, "failed error", s.outcome(t, "a/b"))
	})
	t.Run("refused options", func(t *testing.T) {
		s := newStaging(t, 0)
		for _, o := range []*UploadOptions{{Overwrite: true}, {Link: &LinkOptions{}}} {
			_, err := s.store.Stage(s.ctx, "a/b", strings.NewReader("x"), o)
			require.Error(t, err)
		}
	})
}

// A reconciler does not settle a staged upload while it is open, according to
// the synctest clock.
func TestStagedLeaseIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaused(t)
		st, err := p.Stage(p.ctx, "a", strings.NewReader("staged"), nil)
		require.NoError(t, err)
		for range 20 {
			time.Sleep(time.Minute / 2)
			r, err := p.other.Reconcile(p.ctx)
			require.NoError(t, err)
			require.Zero(t, r)
		}
		require.NoError(t, st.Commit(p.ctx))
		p.agrees(t, "a")
	})
}

type failingReader struct{ err error }

func (r *failingReader) Read([]byte) (int, error) { return 0, r.err }

// If Discard is called by mistake while the transaction is open, the
// transaction decides.
func TestDiscardDuringTheTransaction(t *testing.T) {
	s := newStagingWith(t, time.Minute, &sqlaudit.Options{Timeout: 300 * time.Millisecond})
	st := s.stage(t)
	tx := s.insert(t, st)
	require.ErrorIs(t, st.Discard(s.ctx), ErrAudit)
	_, err := s.store.Stat(s.ctx, st.Object.Key)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	s.reconcile(t)
	_, err = s.store.Stat(s.ctx, st.Object.Key)
	require.NoError(t, err, "its row is committed")
}
