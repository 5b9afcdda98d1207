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
// and [audit.Reader] and is safe for concurrent use. Whoever opened it closes
// it.
type Journal struct {
	db, readDB *sqlx.DB // the same pool but for SQLite files that Open opened
	owned      bool
	d          dialect
	opts       Options

	metrics  *metrics
	staged   stagedIntents
	q        *queue
	stop     context.CancelFunc // ends the flush that runs
	base     context.Context
	finished chan struct{} // the flusher has ended
	closed   chan struct{} // Close has
	tail     tail          // the flusher's own

	deployment note.Signer              // certifies the writers' keys; nil without a key
	signing    atomic.Pointer[identity] // of the last writer that is registered
	trust      trust                    // which writers' intents are acted upon
	pub        *publisher               // nil: nothing is published

	gap         gap
	maintenance sync.WaitGroup
	aside       sync.WaitGroup // the jobs whose intents are locked

	clock    func() time.Time // the writer's; leases go by the database's
	lockWait time.Duration    // lockWait, except in tests
	writerID atomic.Pointer[string]
	flushing atomic.Bool
}

var (
	_ audit.Journal = (*Journal)(nil)
	_ audit.Reader  = (*Journal)(nil)
)

// Open opens the journal that dsn names, creating the database file if there is
// none, and brings its tables up to date unless [Options.SkipMigrate] says
// otherwise:
//
//	sqlite:PATH                              a file, relative to the working directory or absolute
//	sqlite::memory:                          a private database that ends with the Journal
//	postgres://user:password@host:5432/name  as pgx takes it, with its parameters
//	mysql://user:password@host:3306/name     MariaDB or MySQL; parameters are those of go-sql-driver
//	mysql:user:password@tcp(host:3306)/name  the same in that driver's own form
//
// The program chooses the driver with a blank import, as with database/sql:
//
//	import _ "modernc.org/sqlite"                // sqlite:
//	import _ "github.com/jackc/pgx/v5/stdlib"    // postgres:
//	import _ "github.com/go-sql-driver/mysql"    // mysql:
//
// A missing one is an error that names the line to add. No error carries a
// password. Open passes the name on as it is, so each driver reads it by its own
// rules; special characters are written as %XX in a URL, a space as %20. What
// follows "sqlite:" is a path, in which no character has a meaning. For MariaDB or
// MySQL behind a Unix socket, the host is the socket's path, its slashes as %2F.
//
// A SQLite file is created with mode 0600 in a folder that must exist, and set
// to WAL and synchronous=FULL, so that what is acknowledged survives a power
// cut. Several processes may open the same file, on the same machine. On
// PostgreSQL sessions have synchronous_commit=on unless the name says
// otherwise, on MariaDB and MySQL a strict sql_mode. Text is exchanged in UTF-8,
// whatever character set the name asks for; a PostgreSQL database must be encoded
// in UTF8 or SQL_ASCII. PostgreSQL must be version 13 or later, MySQL 8.0, MariaDB
// 10.5.
//
// If the SQLite file is removed, renamed or replaced while it is open, or its
// -wal or -shm file is, the journal refuses to write and to verify until the
// original file is back or the program is restarted. An entry is acknowledged only
// if it is in the file at that path. On Windows an open file can't be removed.
//
// ctx bounds the opening only.
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
		// More than one writer makes SQLite's callers wait for each other by
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
		if s.driver == "pgx" && strings.Contains(err.Error(), "cannot parse `") { // which it tries when it connects
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

// New opens a journal in the application's own database. For an *sqlx.DB, pass
// its field DB; for a pool of pgx, pass stdlib.OpenDBFromPool(pool).
// [Journal.Close] does not close the pool. New creates only tables whose names
// begin with file_access_.
//
// The journal takes one connection of the pool while it writes and one while it
// reads a page. What Open sets is left to the host here: a database whose
// commits may not be durable is reported through [Options.Logger]. Settings of a
// connection that would change values on their way are refused, with an error that
// names the setting: on MariaDB and MySQL a character set other than utf8mb4, a
// sql_mode that is not strict, autocommit=0; on PostgreSQL a client_encoding other
// than UTF8; on SQLite a file in UTF-16. New checks several connections of the
// pool, each transaction checks its own, and so do Verify, Prove and Purge. New
// watches the SQLite file as Open does. The driver for PostgreSQL must be pgx.
func New(ctx context.Context, pool *sql.DB, opts *Options) (*Journal, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if pool == nil {
		return nil, errors.New("sqlaudit: New without a database")
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
			return nil, fmt.Errorf("sqlaudit: table %s can't be read: %w", table, err)
		}
	}
	weak, err := d.weakness(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: asking the database for its settings: %w", err)
	}
	if weak != "" {
		o.Logger.LogAttrs(ctx, slog.LevelWarn, "sqlaudit: a power cut may lose acknowledged entries", slog.String("reason", weak))
	}
	j := &Journal{
		db: db, readDB: readDB, d: d, opts: o, finished: make(chan struct{}), closed: make(chan struct{}),
		clock: time.Now, trust: trust{d: d}, lockWait: lockWait,
	}
	if j.metrics, err = newMetrics(d); err != nil {
		return nil, fmt.Errorf("sqlaudit: making metrics: %w", err)
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

// tables are those that a journal needs.
var tables = []string{
	"file_access_logs", "file_access_intents", "file_access_writers", "file_access_checkpoints", "file_access_frontiers", "file_access_erasures",
	"file_access_grants",
}

// maintain looks ahead and cleans up, now and every few hours.
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
			warn("sqlaudit: preparing for the coming months failed", j.d.maintain(j.base, j.db))
		}
		warn("sqlaudit: removing the grants of links that are over failed", j.sweepGrants(j.base))
		select {
		case <-ticker.C:
		case <-j.base.Done():
			return
		}
	}
}

// DB returns the pool that the journal writes with, for the application's own tables
// and for the transactions of [Journal.CommitTx]. It is closed with the journal, unless
// it was given to [New]. On SQLite it has a single connection if [Open] opened
// it: keep transactions short, and use nothing but the transaction while one is
// open; anything else, a call of the journal or of its store too, would wait
// for it.
func (j *Journal) DB() *sql.DB { return j.db.DB }

// Close stores what still waits and frees the journal's resources; later calls
// fail with [audit.ErrClosed]. If ctx ends first, the callers that wait fail,
// and Close returns an [*UnstoredError] with their events. The last checkpoint
// is published before Close returns; if that fails by the end of ctx, the error
// says how many entries no published checkpoint covers. Further calls do
// nothing but wait for the first, or for the end of their own ctx.
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
		case <-time.After(time.Second): // a driver that does not heed its context
		}
		if lost = append(j.gap.unstored(), lost...); len(lost) > 0 {
			err = &UnstoredError{Events: lost, Err: ctx.Err()}
		}
	}
	j.stop()
	if n := j.gap.size(); n > 0 {
		err = errors.Join(err, fmt.Errorf("sqlaudit: closed with %d lost entries that the trail does not mention", n))
	}
	if j.pub != nil {
		<-j.pub.done
		if pubErr := j.pub.publish(ctx); pubErr != nil {
			err = errors.Join(err, fmt.Errorf("sqlaudit: closed with %d entries in no published checkpoint: %w", j.pub.behind(), pubErr))
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

// UnstoredError is what Close returns when it could not store everything. The
// callers of these events were told so as well, but for those of [WhenQueued].
// Of these, the last to be tried may have been stored after all.
type UnstoredError struct {
	Events []audit.Event
	Err    error
}

func (e *UnstoredError) Error() string {
	return fmt.Sprintf("sqlaudit: closed with %d events not stored: %v", len(e.Events), e.Err)
}

func (e *UnstoredError) Unwrap() error { return e.Err }

// tail is where the writer's stream goes on.
type tail struct {
	registered bool // the writer's row is stored
	next       int64
	ids        entryIDs
	identity   *identity
	tree       proof.Tree // of the entries that are stored
}

// newTail begins a stream.
func (j *Journal) newTail() error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("sqlaudit: minting a writer id: %w", err)
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

// microseconds is a time as entries keep it.
func microseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
