package main

// This file implements the code of a program without this library: plain
// statements on the journal's table with its indexes and triggers, in a
// separate database.

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/audit"
)

// byHand writes entries like a program without this library.
type byHand struct {
	db     *sql.DB
	writer string
	times  func(time.Time) any
	n, seq atomic.Int64 // number of events and entries so far

	insertEntry, insertIntent, deleteIntent, lockHead, moveHead *sql.Stmt
}

var entryColumns = []string{
	"id", "op_id", "writer_id", "seq", "occurred_at", "created_at", "action", "outcome", "settled_by",
	"user_id", "ip_address", "user_agent", "request_id", "tenant_id", "resource_type", "resource_id", "file_key",
	"storage_backend", "bucket", "sha256", "content_type", "schema_version", "pii_salt", "pii_commitment", "leaf",
}

func openByHand(e *env, dsn string, connections int) (*byHand, error) {
	journal, err := openJournal(e, dsn) // creates the tables
	if err != nil {
		return nil, err
	}
	if err := journal.Close(e); err != nil {
		return nil, err
	}
	h := &byHand{writer: uuid.Must(uuid.NewV7()).String(), times: func(t time.Time) any { return t }}
	hashType := "bytea"
	scheme, rest, _ := strings.Cut(dsn, ":")
	switch scheme {
	case "sqlite":
		// Use the settings of the journal and one connection. With more
		// connections, SQLite is slower.
		h.db, err = sql.Open("sqlite", "file:"+rest+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
		hashType, connections = "BLOB", 1
		h.times = func(t time.Time) any { return t.Format("2006-01-02T15:04:05.000000Z") }
	case "mysql":
		u, parseErr := url.Parse(dsn)
		if parseErr != nil {
			return nil, parseErr
		}
		h.db, err = sql.Open("mysql", fmt.Sprintf("%s@tcp(%s)%s", u.User, u.Host, u.Path))
		hashType = "VARBINARY(32)"
		h.times = func(t time.Time) any { return t.Format("2006-01-02 15:04:05.000000") }
	default:
		h.db, err = sql.Open("pgx", dsn)
	}
	if err != nil {
		return nil, err
	}
	e.cleanup(h.db.Close)
	h.db.SetMaxOpenConns(connections)
	h.db.SetMaxIdleConns(connections)

	for _, q := range []string{
		"CREATE TABLE plain_intents (op_id CHAR(36) PRIMARY KEY, file_key VARCHAR(1024), event TEXT, lease_until BIGINT)",
		"CREATE TABLE plain_chain (id INTEGER PRIMARY KEY, hash " + hashType + ")",
		"INSERT INTO plain_chain (id, hash) VALUES (1, NULL)",
	} {
		if _, err := h.db.ExecContext(e, q); err != nil {
			return nil, err
		}
	}
	for query, stmt := range map[string]**sql.Stmt{
		"INSERT INTO file_access_logs (" + strings.Join(entryColumns, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(entryColumns)-1) + ")": &h.insertEntry,
		"INSERT INTO plain_intents (op_id, file_key, event, lease_until) VALUES (?, ?, ?, ?)":                                                  &h.insertIntent,
		"DELETE FROM plain_intents WHERE op_id = ?":                                                                                            &h.deleteIntent,
		"UPDATE plain_chain SET hash = ? WHERE id = 1":                                                                                         &h.moveHead,
		"SELECT hash FROM plain_chain WHERE id = 1" + forUpdate(scheme):                                                                        &h.lockHead,
	} {
		if scheme != "sqlite" && scheme != "mysql" {
			for i := 1; strings.Contains(query, "?"); i++ {
				query = strings.Replace(query, "?", "$"+strconv.Itoa(i), 1)
			}
		}
		if *stmt, err = h.db.PrepareContext(e, query); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func forUpdate(scheme string) string {
	if scheme == "sqlite" {
		return "" // its transactions lock the whole database
	}
	return " FOR UPDATE"
}

func (h *byHand) args(ev audit.Event, leaf []byte) []any {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return []any{
		uuid.Must(uuid.NewV7()).String(), ev.OpID, h.writer, h.seq.Add(1), h.times(now), h.times(now),
		string(ev.Action), "ok", "writer",
		ev.Actor.UserID, ev.Actor.IP, ev.Actor.UserAgent, ev.Actor.RequestID, ev.Actor.TenantID, ev.Resource.Type, ev.Resource.ID, ev.Key,
		ev.Backend, ev.Bucket, ev.SHA256, ev.ContentType, 1, ev.SHA256, ev.SHA256, leaf,
	}
}

func (h *byHand) event() audit.Event {
	ev := event(h.n.Add(1))
	ev.OpID = uuid.Must(uuid.NewV7()).String()
	return ev
}

// insert is one INSERT in its own transaction.
func (h *byHand) insert(ctx context.Context) error {
	ev := h.event()
	_, err := h.insertEntry.ExecContext(ctx, h.args(ev, ev.SHA256)...)
	return err
}

func (h *byHand) begin(ctx context.Context, ev audit.Event) error {
	_, err := h.insertIntent.ExecContext(ctx, ev.OpID, ev.Key, ev.Actor.UserID, time.Now().UnixMicro())
	return err
}

// twoTransactions stores intent and entry in separate transactions for each
// caller.
func (h *byHand) twoTransactions(ctx context.Context) error {
	ev := h.event()
	if err := h.begin(ctx, ev); err != nil {
		return err
	}
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit, there is nothing to roll back
	if _, err := tx.StmtContext(ctx, h.insertEntry).ExecContext(ctx, h.args(ev, ev.SHA256)...); err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, h.deleteIntent).ExecContext(ctx, ev.OpID); err != nil {
		return err
	}
	return tx.Commit()
}

// lockedChain stores intent and entry. Each entry contains the hash of the
// previous one.
func (h *byHand) lockedChain(ctx context.Context) error {
	ev := h.event()
	if err := h.begin(ctx, ev); err != nil {
		return err
	}
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit, there is nothing to roll back
	var head []byte
	if err := tx.StmtContext(ctx, h.lockHead).QueryRowContext(ctx).Scan(&head); err != nil {
		return err
	}
	sum := sha256.Sum256(fmt.Append(head, ev))
	if _, err := tx.StmtContext(ctx, h.insertEntry).ExecContext(ctx, h.args(ev, sum[:])...); err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, h.moveHead).ExecContext(ctx, sum[:]); err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, h.deleteIntent).ExecContext(ctx, ev.OpID); err != nil {
		return err
	}
	return tx.Commit()
}

// fill stores n entries, with many in each transaction.
func (h *byHand) fill(ctx context.Context, n int) error {
	const batch = 10_000
	for done := 0; done < n; done += batch {
		tx, err := h.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		stmt := tx.StmtContext(ctx, h.insertEntry)
		for range min(batch, n-done) {
			ev := h.event()
			if _, err := stmt.ExecContext(ctx, h.args(ev, ev.SHA256)...); err != nil {
				_ = tx.Rollback()
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}
