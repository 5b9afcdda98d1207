package main

// The trail in SQL, against what a program would do by hand: single INSERTs into the same table with the same indexes
// and triggers, plain transactions, and a hash chain whose head is locked.

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

var trail = []row{
	{what: "one durable entry, SQLite, 64 callers", peer: "single INSERTs", goal: speedAtLeast(2.5), open: entry(sqlite, 64)},
	{what: "one durable entry, SQLite, 1 caller", peer: "single INSERTs", goal: speedAtLeast(0.8), open: entry(sqlite, 1)},
	{what: "one durable entry, PostgreSQL, 64 callers", peer: "single INSERTs", goal: speedAtLeast(1.6), open: entry(postgres, 64)},
	{what: "one durable entry, PostgreSQL, 1 caller", peer: "single INSERTs", goal: speedAtLeast(0.8), open: entry(postgres, 1)},
	{what: "one durable entry, MariaDB, 64 callers", peer: "single INSERTs", goal: speedAtLeast(2.2), open: entry(mariadb, 64)},
	{what: "one durable entry, MariaDB, 1 caller", peer: "single INSERTs", goal: speedAtLeast(0.8), open: entry(mariadb, 1)},
	{what: "strict protocol, SQLite, 64 callers", peer: "two plain transactions", goal: speedAtLeast(4), open: operation(sqlite, 64, (*byHand).twoTransactions)},
	{what: "strict protocol, PostgreSQL, 64 callers", peer: "two plain transactions", goal: speedAtLeast(2), open: operation(postgres, 64, (*byHand).twoTransactions)},
	{what: "strict protocol, MariaDB, 64 callers", peer: "two plain transactions", goal: speedAtLeast(2), open: operation(mariadb, 64, (*byHand).twoTransactions)},
	{what: "strict protocol, PostgreSQL, 64 callers", peer: "a locked hash chain", goal: speedAtLeast(6), open: operation(postgres, 64, (*byHand).lockedChain)},
	{
		what: "strict protocol, PostgreSQL, 64 callers, over 2 ms", peer: "a locked hash chain", goal: speedAtLeast(30),
		open: operation(distant(postgres, 2*time.Millisecond), 64, (*byHand).lockedChain),
	},
	{what: "a page of 50 entries of a user, SQLite, of 1,000,000", peer: "of 10,000", goal: atMost(2), open: page(sqlite)},
}

// database gives the name of an empty database, as sqlaudit takes it.
type database func(e *env) (dsn string, err error)

func sqlite(e *env) (string, error) {
	dir, err := e.dir()
	return "sqlite:" + filepath.Join(dir, "trail.db"), err
}

// distant puts a network with this round trip between us and the database.
func distant(near database, roundTrip time.Duration) database {
	return func(e *env) (string, error) {
		dsn, err := near(e)
		if err != nil {
			return "", err
		}
		u, err := url.Parse(dsn)
		if err != nil {
			return "", err
		}
		u.Host, err = slowWire(e, u.Host, roundTrip/2)
		return u.String(), err
	}
}

// slowWire listens, and passes what comes on to target, and back, so much later.
func slowWire(e *env, target string, delay time.Duration) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	e.cleanup(l.Close)
	type packet struct {
		due  time.Time
		data []byte
	}
	pass := func(from, to net.Conn) {
		packets := make(chan packet, 1024)
		go func() {
			defer close(packets)
			for {
				buf := make([]byte, 64<<10)
				n, err := from.Read(buf)
				if n > 0 {
					packets <- packet{time.Now().Add(delay), buf[:n]}
				}
				if err != nil {
					return
				}
			}
		}()
		for p := range packets {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data) // if it is closed, so will be from
		}
		_ = to.Close()
	}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			go pass(near, far)
			go pass(far, near)
		}
	}()
	return l.Addr().String(), nil
}

func openJournal(e *env, dsn string) (*sqlaudit.Journal, error) {
	j, err := sqlaudit.Open(e, dsn, &sqlaudit.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err == nil {
		e.cleanup(func() error { return j.Close(context.Background()) })
	}
	return j, err
}

func event(i int64) audit.Event {
	n := strconv.FormatInt(i, 10)
	return audit.Event{
		Action: audit.ActionUpload, Key: "invoices/" + n + ".pdf", Backend: "local", Bucket: "files",
		Actor:    audit.Actor{UserID: "user-" + strconv.FormatInt(i%100, 10), TenantID: "acme", IP: "192.0.2.7", UserAgent: "curl/8", RequestID: "r-" + n},
		Resource: audit.Resource{Type: "invoice", ID: n}, ContentType: "application/pdf", SHA256: make([]byte, 32),
	}
}

func entry(db database, callers int) func(e *env) (side, side, error) {
	return func(e *env) (side, side, error) {
		journal, hand, err := pair(e, db, callers)
		if err != nil {
			return nil, nil, err
		}
		return parallel(callers, func() error { return journal.Log(e, event(hand.n.Add(1))) }),
			parallel(callers, func() error { return hand.insert(e) }), nil
	}
}

func operation(db database, callers int, peer func(*byHand, context.Context) error) func(e *env) (side, side, error) {
	return func(e *env) (side, side, error) {
		journal, hand, err := pair(e, db, callers)
		if err != nil {
			return nil, nil, err
		}
		return parallel(callers, func() error {
				intent, err := journal.Begin(e, event(hand.n.Add(1)), 0)
				if err != nil {
					return err
				}
				return intent.Settle(e, audit.Result{Outcome: audit.OutcomeOK})
			}),
			parallel(callers, func() error { return peer(hand, e) }), nil
	}
}

// pair opens two databases of one server: one with a journal, one with its tables alone.
func pair(e *env, db database, connections int) (*sqlaudit.Journal, *byHand, error) {
	dsn, err := db(e)
	if err != nil {
		return nil, nil, err
	}
	journal, err := openJournal(e, dsn)
	if err != nil {
		return nil, nil, err
	}
	if dsn, err = db(e); err != nil {
		return nil, nil, err
	}
	hand, err := openByHand(e, dsn, connections)
	return journal, hand, err
}

// byHand writes entries as a program without this library would.
type byHand struct {
	db     *sql.DB
	writer string
	times  func(time.Time) any
	n, seq atomic.Int64 // events and entries so far

	insertEntry, insertIntent, deleteIntent, lockHead, moveHead *sql.Stmt
}

var entryColumns = []string{
	"id", "op_id", "writer_id", "seq", "occurred_at", "created_at", "action", "outcome", "settled_by",
	"user_id", "ip_address", "user_agent", "request_id", "tenant_id", "resource_type", "resource_id", "file_key",
	"storage_backend", "bucket", "sha256", "content_type", "schema_version", "pii_salt", "pii_commitment", "leaf",
}

func openByHand(e *env, dsn string, connections int) (*byHand, error) {
	journal, err := openJournal(e, dsn) // makes the tables
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
		// The same settings as the journal's, and one connection: with more of them SQLite is slower.
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
		return "" // its transactions lock everything
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

// insert is one INSERT, committed by itself.
func (h *byHand) insert(ctx context.Context) error {
	ev := h.event()
	_, err := h.insertEntry.ExecContext(ctx, h.args(ev, ev.SHA256)...)
	return err
}

func (h *byHand) begin(ctx context.Context, ev audit.Event) error {
	_, err := h.insertIntent.ExecContext(ctx, ev.OpID, ev.Key, ev.Actor.UserID, time.Now().UnixMicro())
	return err
}

// twoTransactions is intent and entry without anything that callers share.
func (h *byHand) twoTransactions(ctx context.Context) error {
	ev := h.event()
	if err := h.begin(ctx, ev); err != nil {
		return err
	}
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if _, err := tx.StmtContext(ctx, h.insertEntry).ExecContext(ctx, h.args(ev, ev.SHA256)...); err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, h.deleteIntent).ExecContext(ctx, ev.OpID); err != nil {
		return err
	}
	return tx.Commit()
}

// lockedChain is intent and entry, and each entry holds the hash of the one before it.
func (h *byHand) lockedChain(ctx context.Context) error {
	ev := h.event()
	if err := h.begin(ctx, ev); err != nil {
		return err
	}
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
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

// page reads one page from the middle of a user's entries, as a person does who leafs through them.
func page(db database) func(e *env) (side, side, error) {
	return func(e *env) (ours, theirs side, err error) {
		var sides [2]side
		for i, n := range []int{1_000_000, 10_000} {
			dsn, err := db(e)
			if err != nil {
				return nil, nil, err
			}
			hand, err := openByHand(e, dsn, 1)
			if err != nil {
				return nil, nil, err
			}
			if err := hand.fill(e, n); err != nil {
				return nil, nil, err
			}
			journal, err := openJournal(e, dsn)
			if err != nil {
				return nil, nil, err
			}
			q := audit.Query{UserID: "user-7", Limit: n / 200}
			seen := ""
			for entry, err := range journal.Entries(e, q) {
				if err != nil {
					return nil, nil, err
				}
				seen = entry.ID
			}
			q.After, q.Limit = seen, 50
			sides[i] = quick(func() error {
				found := 0
				for _, err := range journal.Entries(e, q) {
					if err != nil {
						return err
					}
					found++
				}
				if found != q.Limit {
					return fmt.Errorf("a page of %d entries has %d", q.Limit, found)
				}
				return nil
			})
		}
		return sides[0], sides[1], nil
	}
}

// fill stores n entries, many in each transaction.
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
