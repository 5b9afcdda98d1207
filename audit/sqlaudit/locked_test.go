package sqlaudit_test

// This file tests open transactions of the application that lock an operation's
// row.

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// lockers are the statements with which a transaction can lock an intent.
var lockers = map[string]func(t *testing.T, j *sqlaudit.Journal, tx *sqlx.Tx, in audit.Intent){
	"committed": func(t *testing.T, j *sqlaudit.Journal, tx *sqlx.Tx, in audit.Intent) {
		require.NoError(t, j.CommitTx(t.Context(), tx, in))
	},
	"selected": func(t *testing.T, _ *sqlaudit.Journal, tx *sqlx.Tx, in audit.Intent) {
		var id string
		require.NoError(t, tx.Get(&id, tx.Rebind("SELECT op_id FROM file_access_intents WHERE op_id = ? FOR UPDATE"), in.OpID()))
	},
}

// patient returns a journal with a long lockWait.
func patient() *sqlaudit.Options { return &sqlaudit.Options{Timeout: 5 * time.Minute} }

const soon = time.Minute // on a busy machine

func TestALockedIntentFailsAlone(t *testing.T) {
	for _, s := range systems[1:] { // SQLite locks whole databases
		for name, lock := range lockers {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				j, db := s.open(t, patient())
				testALockedIntentFailsAlone(t, j, db, lock)
			})
		}
	}
	for _, name := range []string{"mariadb/prepared"} { // a flush is a transaction of single statements
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newRaw(t, systems[2].dsn(t))
			opts := patient()
			opts.Logger = quiet
			j, err := sqlaudit.New(t.Context(), db.DB.DB, opts)
			require.NoError(t, err)
			defer j.Close(t.Context())
			if name == "mysql" {
				sqlaudit.AsMySQL(j)
			}
			testALockedIntentFailsAlone(t, j, db, lockers["committed"])
		})
	}
}

func testALockedIntentFailsAlone(t *testing.T, j *sqlaudit.Journal, db *raw, lock func(*testing.T, *sqlaudit.Journal, *sqlx.Tx, audit.Intent)) {
	var held []audit.Intent
	tx, err := db.Beginx()
	require.NoError(t, err)
	defer tx.Rollback()
	for i := range 3 {
		e := event(fmt.Sprint("locked ", i))
		e.Details.Staged = true
		in, err := j.Begin(t.Context(), e, time.Nanosecond)
		require.NoError(t, err)
		if i < 2 {
			lock(t, j, tx, in)
		}
		held = append(held, in)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	settle := func(in audit.Intent) error { return in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}) }

	// Two intents are locked. All other callers continue.
	var callers, stuck sync.WaitGroup
	for i := range 2 {
		stuck.Go(func() { assert.ErrorIs(t, settle(held[i]), sqlaudit.ErrLocked) })
		stuck.Go(func() { assert.ErrorIs(t, held[i].Renew(ctx, time.Minute), sqlaudit.ErrLocked) })
		stuck.Go(func() {
			_, err := j.Claim(ctx, held[i].OpID(), time.Minute, nil)
			assert.ErrorIs(t, err, sqlaudit.ErrLocked)
		})
	}
	for c := range 64 {
		callers.Go(func() {
			for i := range 2 {
				key := fmt.Sprint(c, "/", i)
				assert.NoError(t, j.Log(ctx, event(key)))
				in, err := j.Begin(ctx, event(key), time.Hour)
				if assert.NoError(t, err) {
					assert.NoError(t, settle(in))
				}
			}
		})
	}
	callers.Wait()
	stuck.Wait()
	require.NoError(t, ctx.Err())

	// The pass yields the other dangling intents, and an error names the locked
	// ones.
	var found []string
	var last error
	for in, err := range j.Dangling(ctx, audit.DanglingQuery{Lease: time.Nanosecond}) {
		if last = err; err == nil {
			found = append(found, in.OpID())
		}
	}
	assert.Equal(t, []string{held[2].OpID()}, found)
	require.ErrorIs(t, last, sqlaudit.ErrLocked)
	for i := range 2 {
		require.ErrorContains(t, last, held[i].OpID())
	}

	require.NoError(t, tx.Rollback())
	require.NoError(t, settle(held[0]))
	require.NoError(t, settle(held[1]))
	assert.Equal(t, 64*4+2, db.count(t, "file_access_logs"))
	report, err := j.Verify(ctx, nil)
	require.NoError(t, err)
	requireSound(t, report)
}

// A waiting call continues when the lock is released. The wait also ends if the
// caller leaves or Close is called.
func TestWaitingForALockEnds(t *testing.T) {
	for _, s := range systems[1:] {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			j, db := s.open(t, patient())
			tx, err := db.Beginx()
			require.NoError(t, err)
			defer tx.Rollback()
			in, err := j.Begin(t.Context(), event("k"), 0)
			require.NoError(t, err)
			lockers["selected"](t, j, tx, in)
			sqlaudit.SetLockWait(j, time.Hour)
			results := make(chan error, 1)
			settle := func(ctx context.Context) { results <- in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK}) }

			other, err := j.Begin(t.Context(), event("other"), 0)
			require.NoError(t, err)
			brief, err := db.Beginx()
			require.NoError(t, err)
			defer brief.Rollback()
			lockers["selected"](t, j, brief, other)
			go func() { results <- other.Settle(context.Background(), audit.Result{Outcome: audit.OutcomeOK}) }()
			wait(t, "the other waits", func() bool { return sqlaudit.Aside(j) == 1 })
			require.NoError(t, brief.Rollback())
			require.NoError(t, <-results)

			ctx, cancel := context.WithCancel(t.Context())
			go settle(ctx)
			wait(t, "it waits", func() bool { return sqlaudit.Aside(j) == 1 })
			cancel()
			require.ErrorIs(t, <-results, context.Canceled)
			assert.Zero(t, sqlaudit.Aside(j))

			go settle(context.Background())
			wait(t, "it waits again", func() bool { return sqlaudit.Aside(j) == 1 })
			done, stop := context.WithCancel(t.Context())
			stop()
			var unstored *sqlaudit.UnstoredError
			require.ErrorAs(t, j.Close(done), &unstored)
			require.ErrorIs(t, <-results, audit.ErrClosed)
			assert.Len(t, unstored.Events, 1)
		})
	}
}

// MariaDB also locks gaps: a transaction that reads a range for update, or
// looks for a missing operation, blocks Begin. Entries are not affected.
func TestALockedGapHoldsUpNoEntry(t *testing.T) {
	j, db := systems[2].open(t, patient())
	tx, err := db.Beginx()
	require.NoError(t, err)
	defer tx.Rollback()
	var none []string
	require.NoError(t, tx.Select(&none, "SELECT op_id FROM file_access_intents FOR UPDATE"))
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() { assert.NoError(t, j.Log(ctx, event(fmt.Sprint(i)))) })
		wg.Go(func() {
			_, err := j.Begin(ctx, event(fmt.Sprint("b", i)), 0)
			assert.ErrorIs(t, err, sqlaudit.ErrLocked)
		})
	}
	wg.Wait()
	require.NoError(t, tx.Rollback())
	_, err = j.Begin(ctx, event("after"), 0)
	require.NoError(t, err)
}
