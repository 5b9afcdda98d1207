package sqlaudit_test

// This file tests commits whose response never arrives. They are the classic
// cause of duplicate or lost events.

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

var (
	cutEvents = flag.Int("sqlaudit.events", 1000, "how many events the tests of cut replies store on each database; in full, 20000")
	cutShare  = flag.Float64("sqlaudit.cut", 0.02, "the share of the commits whose reply is cut; in full, 0.005")
)

func TestCutReplies(t *testing.T) { onEach(t, testCutReplies) }

func testCutReplies(t *testing.T, s *system) {
	dsn := s.dsn(t)
	first, db := openDSN(t, dsn, nil) // creates the tables before anything is cut
	require.NoError(t, first.Close(t.Context()))
	j, cuts := openCut(t, db)

	const callers = 8
	var wg sync.WaitGroup
	var acknowledged sync.Map
	for c := range callers {
		wg.Go(func() {
			for i := c; i < *cutEvents; i += callers {
				key := fmt.Sprint(i)
				var err error
				if i%2 == 0 {
					err = j.Log(t.Context(), event(key))
				} else {
					var in audit.Intent
					if in, err = j.Begin(t.Context(), event(key), 0); err == nil {
						err = in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK})
					}
				}
				acknowledged.Store(key, err == nil)
				assert.NoError(t, err, key)
			}
		})
	}
	wg.Wait()

	reader, _ := openDSN(t, dsn, nil)
	got := entries(t, reader, audit.Query{})
	seen := make(map[string]int)
	for _, e := range got {
		seen[e.Key]++
	}
	lost, duplicates := 0, 0
	acknowledged.Range(func(key, ok any) bool {
		if ok.(bool) && seen[key.(string)] == 0 {
			lost++
		}
		return true
	})
	for _, n := range seen {
		duplicates += n - 1
	}
	t.Logf("%d events, %d replies cut (%.1f %% of the commits): %d lost, %d duplicates", *cutEvents, cuts.count(), 100**cutShare, lost, duplicates)
	assert.Zero(t, lost)
	assert.Zero(t, duplicates)
	assert.Positive(t, cuts.count(), "the test cut something")
	assert.Zero(t, db.count(t, "file_access_intents"))
	requireWholeStreams(t, got)
}

// cutter cuts one in n responses at random, and at least one: a test may have
// only a few commits.
type cutter struct {
	mu         sync.Mutex
	seen, next int
	made       int
}

func (c *cutter) cut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	every := int(1 / *cutShare)
	if c.seen%every == 0 {
		c.next = c.seen + rand.IntN(every)
	}
	c.seen++
	if c.seen-1 != c.next {
		return false
	}
	c.made++
	return true
}

func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made
}

// openCut opens a journal whose responses are sometimes cut.
func openCut(t *testing.T, db *raw) (*sqlaudit.Journal, *cutter) {
	cuts := new(cutter)
	if db.kind == "sqlite" {
		path := strings.TrimPrefix(db.dsn, "sqlite:")
		pool := sqlx.NewDb(sql.OpenDB(cutConnector{"file:" + path + "?_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)", db.Driver(), cuts}), "sqlite")
		t.Cleanup(func() { pool.Close() })
		j, err := sqlaudit.New(t.Context(), pool.DB, &sqlaudit.Options{Logger: quiet})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, j.Close(context.Background())) })
		return j, cuts
	}
	head, rest, _ := strings.Cut(db.dsn, "@")
	address, tail, _ := strings.Cut(rest, "/")
	p := newProxy(t, address)
	p.cut = func(request []byte) bool {
		// This is a commit: a flush on PostgreSQL, or a COMMIT on MariaDB.
		text := string(request)
		commit := strings.Contains(text, "COMMIT") || db.kind == "postgres" && p.greeted.Load()
		return commit && cuts.cut()
	}
	j, err := sqlaudit.Open(t.Context(), head+"@"+p.address+"/"+tail, &sqlaudit.Options{Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close(context.Background())) })
	p.greeted.Store(true)
	return j, cuts
}

// proxy forwards bytes between a client and a server, and drops some responses.
type proxy struct {
	address string
	greeted atomic.Bool
	cut     func(request []byte) bool
	hung    atomic.Bool // forwards nothing

	mu    sync.Mutex
	conns []net.Conn
}

// resume closes the connections that hang and accepts new ones.
func (p *proxy) resume() {
	p.hung.Store(false)
	p.closeAll()
}

func (p *proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func newProxy(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{address: l.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); p.closeAll(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			p.pass(&wg, client, upstream)
		}
	})
	return p
}

func (p *proxy) pass(wg *sync.WaitGroup, client, server net.Conn) {
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	var cutting atomic.Bool
	closeBoth := func() { client.Close(); server.Close() }
	wg.Go(func() {
		defer closeBoth()
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if p.hung.Load() {
				continueUntilClosed(client)
				return
			}
			if n > 0 {
				if p.cut != nil && p.cut(buf[:n]) {
					cutting.Store(true)
				}
				if _, err := server.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	wg.Go(func() {
		defer closeBoth()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if cutting.Load() && n > 0 {
				return // the server has responded, but the client never receives it
			}
			if n > 0 {
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
}

// continueUntilClosed reads without forwarding.
func continueUntilClosed(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// cutConnector creates SQLite connections that sometimes report a successful
// commit as failed.
type cutConnector struct {
	dsn  string
	d    driver.Driver
	cuts *cutter
}

func (c cutConnector) Driver() driver.Driver { return c.d }

func (c cutConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.d.Open(c.dsn)
	return cutConn{conn.(sqliteConn), c.cuts}, err
}

type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

type cutConn struct {
	sqliteConn
	cuts *cutter
}

func (c cutConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.sqliteConn.BeginTx(ctx, opts)
	return cutTx{tx, c.cuts}, err
}

type cutTx struct {
	driver.Tx
	cuts *cutter
}

func (tx cutTx) Commit() error {
	err := tx.Tx.Commit()
	if err == nil && tx.cuts.cut() {
		return errors.Join(errors.New("cut"), io.ErrUnexpectedEOF)
	}
	return err
}
