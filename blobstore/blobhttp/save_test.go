package blobhttp_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// downAtTheEnd is a journal that fails from some point on.
type downAtTheEnd struct {
	*sqlaudit.Journal
	down atomic.Bool
}

func (j *downAtTheEnd) Begin(ctx context.Context, e audit.Event, lease time.Duration) (audit.Intent, error) {
	in, err := j.Journal.Begin(ctx, e, lease)
	return downIntent{in, &j.down}, err
}

type downIntent struct {
	audit.Intent
	down *atomic.Bool
}

func (i downIntent) Settle(ctx context.Context, r audit.Result, also ...audit.Event) error {
	if i.down.Load() {
		return errors.New("the database is down")
	}
	return i.Intent.Settle(ctx, r, also...)
}

// TestRowsAndFilesAgree sends a form with three files. The application saves a
// row for each file in its own transaction. Whatever fails near the end of the
// request, there must be a file for each row and a row for each file.
func TestRowsAndFilesAgree(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(tx *sqlx.Tx, journal *downAtTheEnd) error
		status int
		code   string
		open   int // intents left to Reconcile
		rows   int
	}{
		"committed": {func(tx *sqlx.Tx, _ *downAtTheEnd) error { return tx.Commit() }, 201, "", 0, 3},
		"rolled back": {func(tx *sqlx.Tx, _ *downAtTheEnd) error {
			return errors.Join(errors.New("no such invoice"), tx.Rollback())
		}, 500, "internal", 0, 0},
		"committed, and then the trail is down": {func(tx *sqlx.Tx, journal *downAtTheEnd) error {
			journal.down.Store(true)
			return tx.Commit()
		}, 503, "audit", 3, 3},
		"committed, but nobody heard of it": {func(tx *sqlx.Tx, _ *downAtTheEnd) error {
			return errors.Join(fmt.Errorf("%w: connection reset", blobstore.ErrInDoubt), tx.Commit())
		}, 503, "in_doubt", 3, 3},
		"rolled back, but nobody heard of it": {func(tx *sqlx.Tx, _ *downAtTheEnd) error {
			return errors.Join(fmt.Errorf("%w: connection reset", blobstore.ErrInDoubt), tx.Rollback())
		}, 503, "in_doubt", 3, 0},
		"committed, and then a panic": {func(tx *sqlx.Tx, _ *downAtTheEnd) error {
			panic(tx.Commit())
		}, 0, "", 3, 3},
		"rolled back, and then a panic": {func(tx *sqlx.Tx, _ *downAtTheEnd) error {
			panic(tx.Rollback())
		}, 0, "", 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "alice"})
			dsn := filepath.Join(t.TempDir(), "app.db")
			inner, err := sqlaudit.Open(ctx, "sqlite:"+dsn, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, inner.Close(context.Background())) }()
			journal := &downAtTheEnd{Journal: inner}
			db, err := sqlx.Open("sqlite", "file:"+dsn+"?_pragma=busy_timeout(60000)")
			require.NoError(t, err)
			defer db.Close()
			db.MustExec("CREATE TABLE invoices (file TEXT PRIMARY KEY)")
			store, err := blobstore.Open(ctx, "mem://", journal, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, store.Close(context.Background())) }()

			handler := (&blobhttp.Intake{
				Store: store,
				Save: func(ctx context.Context, files []blobhttp.Stored) error {
					tx, err := db.BeginTxx(ctx, nil)
					if err != nil {
						return err
					}
					for _, f := range files {
						if _, err := tx.Exec("INSERT INTO invoices VALUES (?)", f.Object.Key); err != nil {
							return err
						}
						if err := journal.CommitTx(ctx, tx, f.Staged); err != nil {
							return err
						}
					}
					return c.end(tx, journal)
				},
			}).Form(nil)
			ct, body := formBody(t, formPart{name: "f", filename: "a", content: "1"}, formPart{name: "f", filename: "b", content: "2"}, formPart{name: "f", filename: "c", content: "3"})
			r := newRequest("POST", "/upload", body)
			r.Header.Set("Content-Type", ct)
			var a answer
			if c.status == 0 {
				require.Panics(t, func() { record(handler, r) })
			} else {
				a = record(handler, r)
			}
			require.Equal(t, c.status, a.status, a.body)
			if c.code != "" {
				assert.Equal(t, c.code, a.problem(t).Code)
			}
			open, err := inner.OpenIntents(ctx)
			require.NoError(t, err)
			assert.EqualValues(t, c.open, open)

			journal.down.Store(false)
			db.MustExec("UPDATE file_access_intents SET lease_until = 0") // let the leases expire
			_, err = store.Reconcile(ctx)
			require.NoError(t, err)
			open, err = inner.OpenIntents(ctx)
			require.NoError(t, err)
			assert.Zero(t, open)
			var rows, keys []string
			require.NoError(t, db.Select(&rows, "SELECT file FROM invoices"))
			for obj, err := range store.List(ctx, nil) {
				require.NoError(t, err)
				keys = append(keys, obj.Key)
			}
			assert.Len(t, rows, c.rows)
			assert.ElementsMatch(t, rows, keys)
			outcomes := map[audit.Outcome]int{}
			for e, err := range inner.Entries(ctx, audit.Query{Actions: []audit.Action{audit.ActionUpload}}) {
				require.NoError(t, err)
				outcomes[e.Outcome]++
			}
			want := map[audit.Outcome]int{audit.OutcomeOK: 3}
			if c.rows == 0 {
				want = map[audit.Outcome]int{audit.OutcomeFailed: 3}
			}
			assert.Equal(t, want, outcomes)
		})
	}
}
