package sqlaudit

// A flush as the statements of a transaction, for databases that have no single
// statement for it.

import (
	"context"
	"strings"

	"github.com/jmoiron/sqlx"
)

// part is one kind of statement of a flush: the rows it works on, each with its
// arguments, and the statement for n of them, which must touch exactly n rows.
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

// parts lists what b does. The first writes, so that on SQLite even a deferred
// transaction, as a host's pool may begin it, waits for its turn and never has
// to start anew.
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

// repeat returns s n times, with commas or what is given in between.
func repeat(s string, n int, sep ...string) string {
	between := ", "
	if len(sep) > 0 {
		between = sep[0]
	}
	return strings.Repeat(s+between, n-1) + s
}

// marks returns "(?, ?, …)".
func marks(n int) string { return "(" + repeat("?", n) + ")" }

// lockedTx runs fn in a transaction that begins with the statement begin and
// then, if there is one, the statement lock. It does not use BeginTx, since the
// host's pool may begin transactions in another way.
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

// applyStatements runs a migration statement by statement and records it.
func applyStatements(ctx context.Context, conn *sqlx.Conn, m migration, bind int) error {
	for _, stmt := range m.statements() {
		if _, err := conn.ExecContext(ctx, stmt); err != nil {
			return err
		}
	}
	return m.record(ctx, conn, bind)
}
