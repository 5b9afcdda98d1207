package sqlaudit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/note"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// Journal is an audit trail in an SQL database. It implements [audit.Journal]
// and [audit.Reader] and is safe for concurrent use. Call [Journal.Close] when
// it is no longer needed.
type Journal struct {
	db, readDB *sqlx.DB // the same pool, except for SQLite files opened by Open
	owned      bool
	d          dialect
	opts       Options

	metrics  *metrics
	staged   stagedIntents
	q        *queue
	stop     context.CancelFunc // cancels the current flush
	base     context.Context
	finished chan struct{} // the flusher has ended
	closed   chan struct{} // Close has ended
	tail     tail          // used only by the flusher

	deployment note.Signer              // certifies the writers' keys; nil without a key
	signing    atomic.Pointer[identity] // of the last registered writer
	trust      trust                    // decides which writers' intents are accepted
	pub        *publisher               // nil without Publish

	gap         gap
	maintenance sync.WaitGroup
	aside       sync.WaitGroup // goroutines of the jobs whose intents are locked

	clock    func() time.Time // of the writer; leases use the database's clock
	lockWait time.Duration    // the constant lockWait, except in tests
	writerID atomic.Pointer[string]
	flushing atomic.Bool
}

var (
	_ audit.Journal = (*Journal)(nil)
	_ audit.Reader  = (*Journal)(nil)
)

// Open opens the journal in the database dsn. It creates a SQLite file if it
// does not exist, and applies pending migrations unless [Options.SkipMigrate]
// is set. dsn has one of these forms:
//
//	sqlite:PATH                              a file, relative to the working directory or absolute
//	sqlite::memory:                          a private database that ends with the Journal
//	postgres://user:password@host:5432/name  as accepted by pgx, with its parameters
//	mysql://user:password@host:3306/name     MariaDB or MySQL, with the parameters of go-sql-driver
//	mysql:user:password@tcp(host:3306)/name  the same in the driver's own form
//
// Import the driver in your program, as with database/sql:
//
//	import _ "modernc.org/sqlite"                // sqlite:
//	import _ "github.com/jackc/pgx/v5/stdlib"    // postgres:
//	import _ "github.com/go-sql-driver/mysql"    // mysql:
//
// If the driver is missing, the error contains the import to add. No error
// contains a password.
//
// Open passes dsn to the driver, and each driver parses it by its own rules. In
// a URL, escape special characters as %XX, and a space as %20. The text after
// "sqlite:" is a path without any escapes. To connect to MariaDB or MySQL
// through a Unix socket, use the socket's path as the host, with its slashes as
// %2F.
//
// A SQLite file is created with mode 0600, and its folder must exist. Open sets
// the file to WAL mode and synchronous=FULL, so that acknowledged entries
// survive a power failure. Several processes on the same machine may open the
// same file. On PostgreSQL, sessions have synchronous_commit=on unless dsn sets
// it differently. On MariaDB and MySQL, they have a strict sql_mode. Text is
// always exchanged in UTF-8, even if dsn names another character set. A
// PostgreSQL database must have the encoding UTF8 or SQL_ASCII. The oldest
// supported versions are PostgreSQL 13, MySQL 8.0 and MariaDB 10.5.
//
// If the SQLite file or its -wal or -shm file is removed, renamed or replaced
// while the journal is open, the journal refuses to write and to verify until
// the original file is back or the program is restarted. An entry is
// acknowledged only if it is stored in the file at that path. On Windows, an
// open file cannot be removed.
//
// ctx limits only the opening.
func Open(ctx context.Context, dsn string, opts *Options) (*Journal, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if err := s.checkDriver(); err != nil {
		return nil, err
	}
	db, err := sqlx.Open(s.driver, s.write)
	if err != nil {
		return nil, s.parseError(err)
	}
	readDB := db
	if s.single {
		// With several writers, SQLite's callers would wait for each other by
		// polling, some of them for seconds.
		db.SetMaxOpenConns(1)
		db.SetConnMaxLifetime(0)
		if err := firstSQLite(ctx, db); err != nil {
			return nil, errors.Join(fmt.Errorf("sqlaudit: opening the database: %w", err), db.Close())
		}
	} else {
		db.SetMaxOpenConns(10)
		db.SetMaxIdleConns(4)
		db.SetConnMaxIdleTime(5 * time.Minute)
	}
	if s.read != "" {
		if readDB, err = sqlx.Open(s.driver, s.read); err != nil {
			return nil, errors.Join(fmt.Errorf("sqlaudit: opening the database: %w", err), db.Close())
		}
		readDB.SetMaxOpenConns(4)
	}
	var j *Journal
	if err = checkSettings(ctx, db, s.dialect, 1); err == nil {
		err = watchFile(ctx, db, s.dialect, s.path, s.info)
	}
	if err == nil {
		j, err = start(ctx, db, readDB, s.dialect, o)
	}
	if err != nil {
		if s.driver == "pgx" && strings.Contains(err.Error(), "cannot parse `") { // reported only when pgx connects
			err = s.parseError(err)
		}
		err = errors.Join(err, db.Close())
		if readDB != db {
			err = errors.Join(err, readDB.Close())
		}
		return nil, err
	}
	j.owned = true
	return j, nil
}

// New opens a journal in the application's database. For an *sqlx.DB, pass its
// field DB. For a pool of pgx, pass stdlib.OpenDBFromPool(pool). The driver for
// PostgreSQL must be pgx. [Journal.Close] does not close the pool. New creates
// only tables whose names begin with file_access_.
//
// The journal uses one connection of the pool while it writes and one while it
// reads a page. Unlike Open, New does not change the settings of connections.
// If commits of the database may not be durable, New logs a warning to
// [Options.Logger]. New returns an error if a setting of a connection would
// alter values:
//
//   - on MariaDB and MySQL: a character set other than utf8mb4, an sql_mode
//     that is not strict, or autocommit=0
//   - on PostgreSQL: a client_encoding other than UTF8
//   - on SQLite: a file in UTF-16
//
// New checks several connections of the pool. Later, every transaction checks
// its connection, and so do Verify, Prove and Purge. New watches the SQLite
// file as Open does.
func New(ctx context.Context, pool *sql.DB, opts *Options) (*Journal, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if pool == nil {
		return nil, errors.New("sqlaudit: New: the database is nil")
	}
	db := sqlx.NewDb(pool, "")
	d, err := dialectOf(ctx, db)
	if err != nil {
		return nil, err
	}
	if err := checkSettings(ctx, db, d, connectionsChecked); err != nil {
		return nil, err
	}
	if err := watchFile(ctx, db, d, "", nil); err != nil {
		return nil, err
	}
	return start(ctx, db, db, d, o)
}

func start(ctx context.Context, db, readDB *sqlx.DB, d dialect, o Options) (*Journal, error) {
	if !o.SkipMigrate {
		if err := migrate(ctx, db, d, Migrations()); err != nil {
			return nil, err
		}
	}
	for _, table := range tables {
		if _, err := db.ExecContext(ctx, "SELECT 1 FROM "+table+" WHERE 1 = 0"); err != nil {
			return nil, fmt.Errorf("sqlaudit: cannot read table %s: %w", table, err)
		}
	}
	weak, err := d.weakness(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: reading the database settings: %w", err)
	}
	if weak != "" {
		o.Logger.LogAttrs(ctx, slog.LevelWarn, "sqlaudit: a power failure may lose acknowledged entries", slog.String("reason", weak))
	}
	j := &Journal{
		db: db, readDB: readDB, d: d, opts: o, finished: make(chan struct{}), closed: make(chan struct{}),
		clock: time.Now, trust: trust{d: d}, lockWait: lockWait,
	}
	if j.metrics, err = newMetrics(d); err != nil {
		return nil, fmt.Errorf("sqlaudit: creating metrics: %w", err)
	}
	j.q = newQueue(o.QueueLength, j.metrics.queued)
	if !o.DeploymentKey.IsZero() {
		if j.deployment, err = deploymentSigner(o.DeploymentKey); err != nil {
			return nil, fmt.Errorf("sqlaudit: Options.DeploymentKey: %w", err)
		}
		own, err := deploymentVerifier(o.DeploymentKey)
		if err != nil {
			return nil, fmt.Errorf("sqlaudit: Options.DeploymentKey: %w", err)
		}
		j.trust.texts = append(slices.Clone(o.TrustedKeys), own)
		if j.trust.keys, err = proof.ParseKeys(j.trust.texts...); err != nil {
			return nil, fmt.Errorf("sqlaudit: Options.TrustedKeys: %w", err)
		}
	}
	j.base, j.stop = context.WithCancel(context.Background())
	if err := j.newTail(); err != nil {
		return nil, err
	}
	if o.Publish != nil {
		j.pub = newPublisher(o.Publish, o.Logger, o.Timeout)
		go j.pub.run(j.base)
		j.maintenance.Go(func() { j.publishGone(j.base) })
	}
	j.maintenance.Go(j.maintain)
	go j.run()
	return j, nil
}

// tables are the tables that a journal needs.
var tables = []string{
	"file_access_logs", "file_access_intents", "file_access_writers", "file_access_checkpoints", "file_access_frontiers", "file_access_erasures",
	"file_access_grants",
}

// maintain creates future partitions and removes grants of expired links, at
// the start and every six hours.
func (j *Journal) maintain() {
	ticker := time.NewTicker(6 * time.Hour)
	defer ticker.Stop()
	warn := func(message string, err error) {
		if err != nil && j.base.Err() == nil && !errors.Is(err, audit.ErrClosed) {
			j.opts.Logger.LogAttrs(j.base, slog.LevelWarn, message, slog.Any("error", err))
		}
	}
	for {
		if !j.opts.SkipMigrate {
			warn("sqlaudit: creating partitions for future months failed", j.d.maintain(j.base, j.db))
		}
		warn("sqlaudit: removing grants of expired links failed", j.sweepGrants(j.base))
		select {
		case <-ticker.C:
		case <-j.base.Done():
			return
		}
	}
}

// DB returns the pool that the journal writes with. Use it for the
// application's own tables and for the transactions of [Journal.CommitTx].
// Close also closes the pool, unless it was passed to [New].
//
// On SQLite, a pool opened by [Open] has a single connection. Keep transactions
// short, and use only the transaction while it is open. Any other statement
// would wait for it, and so would the calls of the journal and its store.
func (j *Journal) DB() *sql.DB { return j.db.DB }

// Close stores the queued records and releases the journal's resources. Later
// calls fail with [audit.ErrClosed].
//
// If ctx ends first, the waiting callers fail, and Close returns an
// [*UnstoredError] with their events. Close also publishes the last checkpoint.
// If this fails until ctx ends, the error contains the number of entries
// without a published checkpoint. Further calls of Close only wait for the
// first one or for the end of their own ctx.
func (j *Journal) Close(ctx context.Context) error {
	if !j.q.close() {
		select {
		case <-j.closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(j.closed)
	var err error
	select {
	case <-j.finished:
	case <-ctx.Done():
		lost := j.q.drop()
		j.stop()
		select {
		case <-j.finished:
		case <-time.After(time.Second): // the driver ignores its context
		}
		if lost = append(j.gap.unstored(), lost...); len(lost) > 0 {
			err = &UnstoredError{Events: lost, Err: ctx.Err()}
		}
	}
	j.stop()
	if n := j.gap.size(); n > 0 {
		err = errors.Join(err, fmt.Errorf("sqlaudit: closed with %d lost entries that are not recorded in the trail", n))
	}
	if j.pub != nil {
		<-j.pub.done
		if pubErr := j.pub.publish(ctx); pubErr != nil {
			err = errors.Join(err, fmt.Errorf("sqlaudit: closed with %d entries not covered by a published checkpoint: %w", j.pub.behind(), pubErr))
		}
	}
	j.maintenance.Wait()
	err = errors.Join(err, j.d.close())
	if j.owned {
		err = errors.Join(err, j.db.Close())
		if j.readDB != j.db {
			err = errors.Join(err, j.readDB.Close())
		}
	}
	return err
}

// UnstoredError reports the events that Close could not store. Their callers
// also got an error, except in mode [WhenQueued]. In that mode, the events of
// the last attempt may have been stored despite the error.
type UnstoredError struct {
	Events []audit.Event
	Err    error
}

func (e *UnstoredError) Error() string {
	return fmt.Sprintf("sqlaudit: closed with %d events not stored: %v", len(e.Events), e.Err)
}

func (e *UnstoredError) Unwrap() error { return e.Err }

// tail is the end of the writer's log.
type tail struct {
	registered bool // the writer's row is stored
	next       int64
	ids        entryIDs
	identity   *identity
	tree       proof.Tree // of the stored entries
}

// newTail starts a new writer with an empty log.
func (j *Journal) newTail() error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("sqlaudit: generating a writer ID: %w", err)
	}
	s := id.String()
	w := proof.Writer{ID: s, Origin: j.opts.Origin, StartedAt: microseconds(j.clock())}
	who, err := newIdentity(w, j.deployment)
	if err != nil {
		return err
	}
	j.tail = tail{identity: who}
	j.writerID.Store(&s)
	return nil
}

// microseconds returns t in UTC, truncated to microseconds as in stored
// entries.
func microseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
