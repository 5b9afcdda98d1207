//go:build unix

package orms

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testdb.Stop()
	os.Exit(code)
}

// invoice is a row of the application's table.
type invoice struct {
	ID      int64 `bun:",pk,autoincrement"`
	FileKey string
}

func (invoice) TableName() string { return "invoices" }

// transaction inserts the row of a staged file, calls commitTx, and commits or
// rolls back.
type transaction func(ctx context.Context, key string, commitTx func(sqlaudit.Execer) error, commit bool) error

// end ends a transaction. All libraries share it.
func end(err error, commit bool, committed, rolledBack func() error) error {
	if err != nil || !commit {
		return errors.Join(err, rolledBack())
	}
	return committed()
}

func gormTx(t *testing.T, pool *sql.DB) transaction {
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: pool}), nil)
	require.NoError(t, err)
	return func(ctx context.Context, key string, commitTx func(sqlaudit.Execer) error, commit bool) error {
		tx := db.WithContext(ctx).Begin()
		if tx.Error != nil {
			return tx.Error
		}
		err := tx.Create(&invoice{FileKey: key}).Error
		if err == nil {
			err = commitTx(tx.Statement.ConnPool)
		}
		return end(err, commit, func() error { return tx.Commit().Error }, func() error { return tx.Rollback().Error })
	}
}

func bunTx(_ *testing.T, pool *sql.DB) transaction {
	db := bun.NewDB(pool, pgdialect.New())
	return func(ctx context.Context, key string, commitTx func(sqlaudit.Execer) error, commit bool) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		_, err = tx.NewInsert().Model(&invoice{FileKey: key}).ModelTableExpr("invoices").Exec(ctx)
		if err == nil {
			err = commitTx(tx.Tx)
		}
		return end(err, commit, tx.Commit, tx.Rollback)
	}
}

// entTx uses the driver of ent. In code that ent generates with the feature
// sql/execquery, the transaction passes ExecContext on to this driver.
func entTx(_ *testing.T, pool *sql.DB) transaction {
	db := entsql.OpenDB(dialect.Postgres, pool)
	return func(ctx context.Context, key string, commitTx func(sqlaudit.Execer) error, commit bool) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		query, args := entsql.Dialect(dialect.Postgres).Insert("invoices").Columns("file_key").Values(key).Query()
		err = tx.Exec(ctx, query, args, nil)
		if err == nil {
			execer, ok := tx.(sqlaudit.Execer)
			if !ok {
				return errors.New("a transaction of ent has no ExecContext")
			}
			err = commitTx(execer)
		}
		return end(err, commit, tx.Commit, tx.Rollback)
	}
}

func TestFileFollowsTheTransaction(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	pool, err := sql.Open("pgx", testdb.Postgres(t).New(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	journal, err := sqlaudit.New(ctx, pool, &sqlaudit.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, journal.Close(context.WithoutCancel(ctx))) })
	store, err := blobstore.New(memstore.New(), journal, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.WithoutCancel(ctx))) })
	_, err = pool.ExecContext(ctx, "CREATE TABLE invoices (id BIGSERIAL PRIMARY KEY, file_key TEXT NOT NULL)")
	require.NoError(t, err)

	for name, open := range map[string]func(*testing.T, *sql.DB) transaction{"GORM": gormTx, "Bun": bunTx, "ent": entTx} {
		t.Run(name, func(t *testing.T) {
			run := open(t, pool)
			for _, commit := range []bool{true, false} {
				staged, err := store.Stage(ctx, blobstore.NewKey("invoices", "a.pdf"), strings.NewReader("%PDF-1.7"), nil)
				require.NoError(t, err)
				key := staged.Object.Key
				require.NoError(t, run(ctx, key, func(tx sqlaudit.Execer) error { return journal.CommitTx(ctx, tx, staged) }, commit))
				staged.Leave()                                                                   // only the row shows how the transaction ended
				_, err = pool.ExecContext(ctx, "UPDATE file_access_intents SET lease_until = 0") // simulates an expired lease
				require.NoError(t, err)
				_, err = store.Reconcile(ctx)
				require.NoError(t, err)
				open, err := journal.OpenIntents(ctx)
				require.NoError(t, err)
				require.Zero(t, open)

				var rows int
				require.NoError(t, pool.QueryRowContext(ctx, "SELECT count(*) FROM invoices WHERE file_key = $1", key).Scan(&rows))
				_, err = store.Stat(ctx, key)
				if commit {
					require.NoError(t, err)
					require.Equal(t, 1, rows)
				} else {
					require.ErrorIs(t, err, fs.ErrNotExist)
					require.Zero(t, rows)
				}
			}
		})
	}
}
