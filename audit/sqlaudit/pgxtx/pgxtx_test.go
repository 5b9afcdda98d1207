//go:build unix

package pgxtx_test

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit/pgxtx"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testdb.Stop()
	os.Exit(code)
}

func TestFileFollowsTheTransaction(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	pool, err := pgxpool.New(ctx, testdb.Postgres(t).New(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	journal, err := sqlaudit.New(ctx, db, &sqlaudit.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, journal.Close(context.Background())) })
	store, err := blobstore.New(memstore.New(), journal, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	_, err = pool.Exec(ctx, "CREATE TABLE invoices (file_key TEXT NOT NULL)")
	require.NoError(t, err)

	for _, commit := range []bool{true, false} {
		staged, err := store.Stage(ctx, blobstore.NewKey("invoices", "a.pdf"), strings.NewReader("%PDF-1.7"), nil)
		require.NoError(t, err)
		key := staged.Object.Key
		tx, err := pool.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "INSERT INTO invoices VALUES ($1)", key)
		require.NoError(t, err)
		require.NoError(t, journal.CommitTx(ctx, pgxtx.Tx(tx), staged))
		if commit {
			require.NoError(t, tx.Commit(ctx))
		} else {
			require.NoError(t, tx.Rollback(ctx))
		}
		staged.Leave()                                                            // the row alone determines the outcome
		_, err = pool.Exec(ctx, "UPDATE file_access_intents SET lease_until = 0") // as if the lease had expired
		require.NoError(t, err)
		_, err = store.Reconcile(ctx)
		require.NoError(t, err)
		open, err := journal.OpenIntents(ctx)
		require.NoError(t, err)
		require.Zero(t, open)

		var rows int
		require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM invoices WHERE file_key = $1", key).Scan(&rows))
		_, err = store.Stat(ctx, key)
		if commit {
			require.NoError(t, err)
			require.Equal(t, 1, rows)
		} else {
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.Zero(t, rows)
		}
	}
}

func TestErrors(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), testdb.Postgres(t).New(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	res, err := pgxtx.Tx(tx).ExecContext(t.Context(), "CREATE TEMPORARY TABLE a (b INTEGER)")
	require.NoError(t, err)
	_, err = res.LastInsertId()
	require.Error(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	_, err = pgxtx.Tx(tx).ExecContext(t.Context(), "SELECT 1")
	require.Error(t, err, "the transaction has ended")
}
