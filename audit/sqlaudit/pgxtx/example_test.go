package pgxtx_test

import (
	"context"
	"errors"
	"io"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit/pgxtx"
	"github.com/blobtrail/blobtrail/blobstore"
)

// Store a file and a row together: both exist afterwards, or neither does.
func ExampleTx() { //nolint:testableexamples // it needs a PostgreSQL server
	_ = func(ctx context.Context, pool *pgxpool.Pool, journal *sqlaudit.Journal, store *blobstore.Store, key string, file io.Reader) error {
		staged, err := store.Stage(ctx, key, file, nil)
		if err != nil {
			return err
		}
		tx, err := pool.Begin(ctx)
		if err != nil {
			return errors.Join(err, staged.Discard(ctx))
		}
		_, err = tx.Exec(ctx, "INSERT INTO invoices (file_key) VALUES ($1)", key) // or sqlc's queries.WithTx(tx)
		if err == nil {
			err = journal.CommitTx(ctx, pgxtx.Tx(tx), staged)
		}
		if err != nil {
			return errors.Join(err, tx.Rollback(ctx), staged.Discard(ctx))
		}
		if err := tx.Commit(ctx); err != nil {
			staged.Leave() // the row may be committed: Reconcile determines the outcome
			return err
		}
		return staged.Commit(ctx)
	}
}
