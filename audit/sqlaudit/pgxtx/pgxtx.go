// Package pgxtx commits staged uploads in transactions of pgx, for programs
// that use pgx without database/sql.
//
// Open the journal with the program's pool:
//
//	journal, err := sqlaudit.New(ctx, stdlib.OpenDBFromPool(pool), nil)
//
// Then convert each transaction with [Tx] and pass it to
// [sqlaudit.Journal.CommitTx].
package pgxtx

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// Tx converts tx for [sqlaudit.Journal.CommitTx]. The caller still has to
// commit tx or roll it back.
func Tx(tx pgx.Tx) sqlaudit.Execer { return execer{tx} }

type execer struct{ tx pgx.Tx }

func (e execer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := e.tx.Exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return result(tag.RowsAffected()), nil
}

// result implements sql.Result for a number of rows.
type result int64

func (r result) RowsAffected() (int64, error) { return int64(r), nil }

func (result) LastInsertId() (int64, error) {
	return 0, errors.New("pgxtx: PostgreSQL has no last insert ID")
}
