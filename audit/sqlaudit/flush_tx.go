package sqlaudit

// This file implements a flush as a transaction of several statements, for
// databases that cannot do it in one statement.

import (
	"context"
	"strings"

	"github.com/jmoiron/sqlx"
)

// part is one kind of statement in a flush. items are the rows with their
// arguments. query returns the statement for n of them, which must change
// exactly n rows.
type part struct {
	key   string
	items [][]any
	query func(n int) string
}

const (
	partWriter  = "writer"
	partRelease = "release"
	partBegin   = "begin"
	partEntry   = "entry"
	partSigned  = "checkpoint"
)

// parts returns the statements that store b. The first one is a write. On
// SQLite, the application's pool may begin deferred transactions. Because such
// a transaction writes first, it waits for its turn and never fails halfway.
func parts(d dialect, b *batch) []part {
	var out []part
	if w := b.writer; w != nil {
		out = append(out, part{partWriter, [][]any{{w.ID, w.Origin, w.PublicKey, []byte(w.Certificate), d.formatTime(w.StartedAt)}}, func(n int) string {
			return "INSERT INTO file_access_writers (writer_id, origin, public_key, certificate, started_at) VALUES " + repeat("(?, ?, ?, ?, ?)", n)
		}})
	}
	if len(b.settles) > 0 {
		items := make([][]any, len(b.settles))
		for i, h := range b.settles {
			items[i] = []any{h.opID, h.holder}
		}
		out = append(out, part{partRelease, items, func(n int) string {
			return "DELETE FROM file_access_intents WHERE " + repeat("(op_id = ? AND holder = ?)", n, " OR ")
		}})
	}
	if len(b.begins) > 0 {
		items := make([][]any, len(b.begins))
		for i, in := range b.begins {
			items[i] = in.args()
		}
		out = append(out, part{partBegin, items, func(n int) string {
			return "INSERT INTO file_access_intents (op_id, holder, writer_id, storage_backend, bucket, file_key, begun_at, lease_until, event, signature) VALUES " +
				repeat("(?, ?, ?, ?, ?, ?, "+d.now()+", "+d.now()+" + ?, ?, ?)", n)
		}})
	}
	if len(b.rows) > 0 {
		items := make([][]any, len(b.rows))
		for i, r := range b.rows {
			items[i] = r.args(make([]any, 0, len(columns)), d.formatTime)
		}
		out = append(out, part{partEntry, items, func(n int) string {
			return "INSERT INTO file_access_logs (" + strings.Join(columns, ", ") + ") VALUES " + repeat(marks(len(columns)), n)
		}})
	}
	if c := b.checkpoint; c != nil {
		out = append(out, part{partSigned, [][]any{{c.WriterID, c.Size, c.Note}}, func(n int) string {
			return "INSERT INTO file_access_checkpoints (writer_id, tree_size, note) VALUES " + repeat("(?, ?, ?)", n)
		}})
	}
	return out
}

// repeat returns n copies of s, separated by sep or, by default, by commas.
func repeat(s string, n int, sep ...string) string {
	between := ", "
	if len(sep) > 0 {
		between = sep[0]
	}
	return strings.Repeat(s+between, n-1) + s
}

// marks returns n placeholders in parentheses: "(?, ?, …)".
func marks(n int) string { return "(" + repeat("?", n) + ")" }

// lockedTx runs fn in a transaction that starts with the statement begin and,
// unless it is empty, the statement lock. It does not use BeginTx, because the
// application's pool may begin transactions differently.
func lockedTx(ctx context.Context, db *sqlx.DB, begin, lock string, fn func(*sqlx.Conn) error) error {
	conn, err := db.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return err
	}
	if lock != "" {
		_, err = conn.ExecContext(ctx, lock)
	}
	if err == nil {
		err = fn(conn)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

// applyStatements runs the statements of a migration and records the migration.
func applyStatements(ctx context.Context, conn *sqlx.Conn, m migration, bind int) error {
	for _, stmt := range m.statements() {
		if _, err := conn.ExecContext(ctx, stmt); err != nil {
			return err
		}
	}
	return m.record(ctx, conn, bind)
}
