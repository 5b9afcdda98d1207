package sqlaudit_test

import (
	"context"
	"database/sql"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func beginStaged(t *testing.T, j audit.Journal, key string) audit.Intent {
	t.Helper()
	e := event(key)
	e.Details.Staged = true
	in, err := j.Begin(t.Context(), e, time.Hour)
	require.NoError(t, err)
	return in
}

// committed returns Details.Committed of the operation's stored event.
func committed(t *testing.T, j *sqlaudit.Journal, opID string) bool {
	t.Helper()
	in, err := j.Claim(t.Context(), opID, time.Hour, nil)
	require.NoError(t, err)
	return in.Event().Details.Committed
}

func TestCommitTx(t *testing.T) {
	onEach(t, func(t *testing.T, s *system) {
		j, db := s.open(t, nil)
		ctx := t.Context()
		begin := func(t *testing.T) *sql.Tx {
			tx, err := db.DB.DB.BeginTx(ctx, nil)
			require.NoError(t, err)
			t.Cleanup(func() { tx.Rollback() })
			return tx
		}
		refused := func(t *testing.T, journal *sqlaudit.Journal, staged interface{ OpID() string }) {
			t.Helper()
			tx := begin(t)
			require.ErrorIs(t, journal.CommitTx(ctx, tx, staged), audit.ErrNotHeld)
			require.NoError(t, tx.Rollback())
		}
		other, err := sqlaudit.Open(ctx, db.dsn, &sqlaudit.Options{Logger: quiet})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, other.Close(context.Background())) })

		t.Run("sql.Tx", func(t *testing.T) {
			for _, commit := range []bool{true, false} {
				in := beginStaged(t, j, "a")
				tx := begin(t)
				require.NoError(t, j.CommitTx(ctx, tx, in))
				if commit {
					require.NoError(t, tx.Commit())
				} else {
					require.NoError(t, tx.Rollback())
				}
				assert.Equal(t, commit, committed(t, other, in.OpID()))
			}
		})
		t.Run("sqlx.Tx, behind Multi", func(t *testing.T) {
			in := beginStaged(t, audit.Multi(j, new(audit.Memory)), "b")
			tx := db.MustBegin()
			require.NoError(t, j.CommitTx(ctx, tx, in))
			require.NoError(t, tx.Commit())
			assert.True(t, committed(t, other, in.OpID()))
		})
		t.Run("not staged", func(t *testing.T) {
			in, err := j.Begin(ctx, event("c"), time.Hour)
			require.NoError(t, err)
			refused(t, j, in)
		})
		t.Run("settled", func(t *testing.T) {
			in := beginStaged(t, j, "d")
			require.NoError(t, in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}))
			refused(t, j, in)
		})
		t.Run("another journal's", func(t *testing.T) {
			in := beginStaged(t, j, "e")
			refused(t, other, in)
			assert.False(t, committed(t, j, in.OpID()))
		})
		t.Run("taken over by another process", func(t *testing.T) {
			in := beginStaged(t, j, "f")
			taken, err := other.Claim(ctx, in.OpID(), time.Hour, nil)
			require.NoError(t, err)
			refused(t, j, in)
			tx := begin(t)
			require.NoError(t, other.CommitTx(ctx, tx, taken))
			require.NoError(t, tx.Commit())
			assert.True(t, committed(t, j, in.OpID()))
		})
		t.Run("taken over by the same process", func(t *testing.T) {
			in := beginStaged(t, j, "g")
			taken, err := j.Claim(ctx, in.OpID(), time.Hour, nil)
			require.NoError(t, err)
			refused(t, j, in) // the ID does not identify the caller
			refused(t, j, taken)
			runtime.KeepAlive(in)

			in = beginStaged(t, j, "h")
			db.exec(t, "UPDATE file_access_intents SET lease_until = 0 WHERE op_id = ?", in.OpID())
			for _, err := range j.Dangling(ctx, audit.DanglingQuery{Lease: time.Hour}) {
				require.NoError(t, err)
			}
			refused(t, j, in)
		})
	})
}

// opID names an operation without holding its intent.
type opID string

func (o opID) OpID() string { return string(o) }

func TestCommitTxKeepsNoIntents(t *testing.T) {
	j, db := sqliteSystem.open(t, nil)
	left := opID(beginStaged(t, j, "left").OpID())
	for range 10 {
		in := beginStaged(t, j, "settled")
		require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))
	}
	kept := beginStaged(t, j, "kept")
	require.Eventually(t, func() bool {
		runtime.GC()
		return sqlaudit.StagedIntents(j) == 1
	}, time.Minute, time.Millisecond)

	tx := db.MustBegin()
	require.ErrorIs(t, j.CommitTx(t.Context(), tx, left), audit.ErrNotHeld)
	require.NoError(t, j.CommitTx(t.Context(), tx, kept))
	require.NoError(t, tx.Commit())
}
