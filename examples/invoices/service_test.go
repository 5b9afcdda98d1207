package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/internal/testlog"
)

// files returns the files in the folder of the service.
func (r *running) files() (found []string) {
	r.t.Helper()
	require.NoError(r.t, filepath.Walk(r.set.files.LocalPath, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && !strings.HasSuffix(path, ".attrs") && !strings.Contains(path, ".blobtrail") {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// Either both the row and the file are stored, or neither.
func TestRowAndFileAreStoredTogether(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	_, err := s.db.Exec(`CREATE TRIGGER no_invoice BEFORE INSERT ON invoices WHEN new.number = 'REFUSED' BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	require.NoError(t, err)
	a := anna.send("/invoice/upload_file", "a.pdf", "%PDF-1.7\n", "number", "REFUSED", "date", "2026-11-02", "total", "1")
	assert.Equal(t, 500, a.status, a.body)
	assert.Empty(t, s.files(), "the row was refused, so there is no file")
	anna.store("GOOD")
	assert.Len(t, s.files(), 1)
	n, err := s.journal.OpenIntents(t.Context())
	require.NoError(t, err)
	assert.Zero(t, n)
}

// If the response of a commit is lost, row and file are still consistent. The
// row may exist, it may not exist, or the database may not respond.
func TestCommitsWithoutAResponse(t *testing.T) {
	lost := errors.New("the connection was lost")
	for name, tt := range map[string]struct {
		commit          func(*sqlx.Tx) error
		hidden          bool // the database does not respond
		status, settled int  // status of the response, and number of invoices in the end
	}{
		"committed":              {func(tx *sqlx.Tx) error { return errors.Join(tx.Commit(), lost) }, false, 201, 1},
		"committed, and no word": {func(tx *sqlx.Tx) error { return errors.Join(tx.Commit(), lost) }, true, 503, 1},
		"rolled back":            {func(tx *sqlx.Tx) error { return errors.Join(tx.Rollback(), lost) }, false, 503, 0},
		"rolled back long ago":   {func(tx *sqlx.Tx) error { return errors.Join(tx.Rollback(), sql.ErrTxDone) }, false, 500, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			anna := s.user("anna@north.example", "north")
			s.commit = func(tx *sqlx.Tx) error {
				err := tt.commit(tx)
				if tt.hidden {
					_, herr := s.db.Exec("ALTER TABLE invoices RENAME TO hidden")
					err = errors.Join(err, herr)
				}
				return err
			}
			a := anna.send("/invoice/upload_file", "a.pdf", "%PDF-1.7\n", "number", "1", "date", "2026-11-02", "total", "1")
			assert.Equal(t, tt.status, a.status, a.body)
			if tt.hidden {
				_, err := s.db.Exec("ALTER TABLE hidden RENAME TO invoices")
				require.NoError(t, err)
			}
			_, err := s.db.Exec("UPDATE file_access_intents SET lease_until = 0") // let the leases expire
			require.NoError(t, err)
			require.NoError(t, s.settle(t.Context()))
			var rows int
			require.NoError(t, s.db.Get(&rows, "SELECT COUNT(*) FROM invoices"))
			assert.Equal(t, tt.settled, rows)
			assert.Len(t, s.files(), tt.settled)
			n, err := s.journal.OpenIntents(t.Context())
			require.NoError(t, err)
			assert.Zero(t, n)
		})
	}
}

// The next process completes the work of a killed process.
func TestUnfinishedWorkIsCompleted(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	deleting, abandoned, sent := anna.store("DELETING"), anna.begin("ABANDONED", 9), anna.begin("SENT", 9)
	require.Equal(t, 201, do(t, "PUT", sent.URL, strings.NewReader("%PDF-1.7\n"), "Content-Type", "application/pdf").status)
	_, err := s.store.Ticket(sent.Key, sent.ID).Complete(asSystem(t.Context(), "north")) // the process died before it changed the row
	require.NoError(t, err)
	_, err = s.db.Exec(s.db.Rebind("UPDATE invoices SET state = ? WHERE id = ?"), stateDeleting, deleting.ID)
	require.NoError(t, err)
	require.NoError(t, s.settle(t.Context()))
	assert.Len(t, s.files(), 2, "nothing is old enough yet")

	_, err = s.db.Exec("UPDATE invoices SET changed_at = 0")
	require.NoError(t, err)
	require.NoError(t, s.settle(t.Context()))
	assert.Len(t, s.files(), 1)
	assert.Equal(t, 404, anna.do("GET", "/invoice/"+deleting.ID, nil).status)
	assert.Equal(t, 404, anna.complete(abandoned).status)
	assert.Equal(t, 200, anna.do("GET", "/invoice/"+sent.invoice, nil).status)
}

// Several requests and processes may complete the same work concurrently. All
// succeed.
func TestWorkIsFinishedOnce(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	deleting, sent := anna.store("DELETING"), anna.begin("SENT", 9)
	require.Equal(t, 201, do(t, "PUT", sent.URL, strings.NewReader("%PDF-1.7\n"), "Content-Type", "application/pdf").status)
	_, err := s.db.Exec(s.db.Rebind("UPDATE invoices SET state = ? WHERE id = ?"), stateDeleting, deleting.ID)
	require.NoError(t, err)
	ctx := asSystem(t.Context(), "north")
	for id, to := range map[string]string{deleting.ID: stateDeleted, sent.invoice: stateStored} {
		// Both read the row before one of them changes it.
		one, err := s.find(ctx, id, statePending, stateDeleting)
		require.NoError(t, err)
		other := *one
		finish := func(i *invoice) error {
			if to == stateDeleted {
				return s.remove(ctx, i)
			}
			return s.moveOnce(ctx, i, to)
		}
		require.NoError(t, finish(one))
		require.NoError(t, finish(&other))
		assert.Equal(t, to, other.State)
		gone := other
		gone.ID = uuid.NewString()
		gone.State = statePending
		require.ErrorIs(t, s.moveOnce(ctx, &gone, stateStored), fs.ErrNotExist, "an invoice that is not there")
	}
	assert.Equal(t, 200, anna.complete(sent).status)
	require.NoError(t, s.settle(t.Context()))
	assert.NotContains(t, s.measured(), "invoices_settled_timestamp_seconds 0")
}

// A changed entry shows in the trail of its invoice, and only there.
func TestTamperingShows(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	one := anna.store("ONE")
	state := func(id string) string {
		var tr trail
		anna.do("GET", "/invoice/"+id+"/trail", nil).into(t, &tr)
		return tr.State
	}
	assert.Equal(t, pending, state(one.ID))
	require.NoError(t, s.verify(t.Context()))
	assert.Equal(t, verified, state(one.ID))

	for _, statement := range []string{"DROP TRIGGER %s", "UPDATE file_access_logs SET size = 1 WHERE resource_id = '" + one.ID + "'"} {
		if strings.Contains(statement, "%s") {
			var names []string
			require.NoError(t, s.db.Select(&names, "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'file_access_logs'"))
			for _, name := range names {
				_, err := s.db.Exec(fmt.Sprintf(statement, name))
				require.NoError(t, err)
			}
			continue
		}
		_, err := s.db.Exec(statement)
		require.NoError(t, err)
	}
	require.NoError(t, s.verify(t.Context()))
	assert.Equal(t, tampered, state(one.ID))
	assert.Contains(t, s.log.String(), "TAMPERED")
	assert.Contains(t, anna.do("GET", "/invoices/"+one.ID, nil).body, "Changed after it was recorded")
	_, sound, _ := s.checked.last()
	assert.False(t, sound)
}

// If the session cannot be looked up, the request fails before it reaches a
// route. It is logged and counted like any other failure.
func TestFailuresOfSessionsShow(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	_, err := s.db.Exec("ALTER TABLE sessions RENAME TO gone")
	require.NoError(t, err)
	a := anna.do("GET", "/invoice", nil)
	assert.Equal(t, 503, a.status, a.body)
	assert.Contains(t, s.log.String(), "request failed")
	assert.Contains(t, s.log.String(), a.header.Get("X-Request-Id"))
	assert.Equal(t, 404, do(t, "GET", s.url+"/nothing", nil).status)
	got := s.measured()
	assert.Contains(t, got, `invoices_http_requests_total{code="503",method="get",route="GET /invoice"} 1`)
	assert.Contains(t, got, `invoices_http_requests_total{code="404",method="get",route="none"} 1`)
	assert.Contains(t, got, `invoices_reconciled_total{outcome="unknown"} 0`, "there before anything was reconciled, for increase()")
}

// Caches may store the style sheet and the script, so the response sets no
// cookie.
func TestStaticFilesCarryNoCookies(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	cookie := cookieRefresh + "=" + anna.Refresh
	a := do(t, "GET", s.url+"/static/app.css", nil, "Cookie", cookie)
	assert.Equal(t, 200, a.status)
	assert.Empty(t, a.header.Get("Set-Cookie"))
	a = do(t, "GET", s.url+"/", nil, "Cookie", cookie)
	assert.NotEmpty(t, a.header.Get("Set-Cookie"), "the page itself renews the tokens")
	assert.Contains(t, a.header.Get("Cache-Control"), "no-store")
}

// If the verification failed, the service reports no result.
func TestVerificationThatFailed(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	closed, err := sqlaudit.Open(t.Context(), "sqlite::memory:", nil)
	require.NoError(t, err)
	require.NoError(t, closed.Close(t.Context()))
	journal := s.app.Journal
	s.app.Journal = closed
	for range 2 { // the second attempt is too early
		a := anna.do("POST", "/trail/verify", nil)
		assert.GreaterOrEqual(t, a.status, 500, a.body)
		assert.NotContains(t, a.body, "sound")
	}
	s.app.Journal = journal
	s.checked.tried = time.Time{}
	a := anna.do("POST", "/trail/verify", nil)
	assert.Equal(t, 200, a.status, a.body)
	assert.Contains(t, a.body, `"sound":true`)
}

func TestRateLimitOfLogins(t *testing.T) {
	s := start(t, nil)
	var last answer
	for n := 0; n < 100 && last.status != 429; n++ { // the allowance is refilled during the test
		last = do(t, "POST", s.url+"/auth/login", strings.NewReader("no JSON, which is quickly refused"), "Content-Type", "application/json")
	}
	assert.Equal(t, 429, last.status)
	assert.Equal(t, "5", last.header.Get("Retry-After"))

	// A client has a whole network of IPv6 addresses, which counts as one
	// address.
	from := func(ip string) string {
		return byIP(httptest.NewRequest("GET", "/", nil).WithContext(audit.WithActor(t.Context(), audit.Actor{IP: ip})))
	}
	assert.Equal(t, from("2001:db8:1:2::1"), from("2001:db8:1:2:ffff::9"))
	assert.NotEqual(t, from("2001:db8:1:2::1"), from("2001:db8:1:3::1"))
	assert.NotEqual(t, from("192.0.2.1"), from("192.0.2.2"))

	l := newLimiter(1, 1)
	for n := range maxKnown + 10 {
		l.allow(fmt.Sprint(n))
	}
	assert.LessOrEqual(t, len(l.known), maxKnown, "it does not grow with those who come")
}

func TestBodiesAreBounded(t *testing.T) {
	s := start(t, vars{"MAX_UPLOAD_BYTES": "1000"})
	anna := s.user("anna@north.example", "north")
	a := anna.send("/invoice/upload_file", "a.pdf", "%PDF-1.7\n"+strings.Repeat("x", 2000), "number", "1", "date", "2026-11-02", "total", "1")
	assert.Equal(t, 413, a.status, a.body)
	a = anna.send("/invoice/upload_file", "a.pdf", "%PDF-1.7\n"+strings.Repeat("x", 200_000), "number", "1", "date", "2026-11-02", "total", "1")
	assert.Equal(t, 413, a.status, a.body)
	a = anna.do("POST", "/auth/login", map[string]string{"email": strings.Repeat("x", maxJSON+1)})
	assert.Equal(t, 413, a.status, a.body)
	a = anna.do("POST", "/invoice/direct/begin", blobhttp.DirectBegin{
		Filename: "a.pdf", ContentType: "application/pdf", Size: 1001, Fields: map[string]string{"number": "1", "date": "2026-11-02", "total": "1"},
	})
	assert.Equal(t, 413, a.status, a.body)
	assert.Empty(t, s.files())
}

// A client that stops sending is disconnected, and nothing remains.
func TestSlowClientsAreCutOff(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	s.patience = 300 * time.Millisecond
	server := httptest.NewServer(s.handler())
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	const field = "--x\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
	body := fmt.Sprintf(field+field+field, "number", "1", "date", "2026-11-02", "total", "1") +
		"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n%PDF-1.7\n"
	fmt.Fprintf(conn, "POST /invoice/upload_file HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n%s", anna.Access, len(body)+1000, body)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	text, err := io.ReadAll(conn) // until the server closes the connection
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(text), "HTTP/1.1 408"), "%s", text)
	assert.Empty(t, s.files())
	require.Eventually(t, func() bool { n, err := s.journal.OpenIntents(t.Context()); return err == nil && n == 0 }, 20*time.Second, 20*time.Millisecond)
}

// Tabs that refresh their tokens concurrently all succeed.
func TestTabsRefreshConcurrently(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			_, _, err := s.refresh(context.Background(), anna.Refresh)
			errs <- err
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
}

// Requests in progress at shutdown get a response.
func TestGracefulShutdown(t *testing.T) {
	dir := t.TempDir()
	cfg, err := config.LoadFrom(vars{
		"LOCAL_STORAGE_PATH": filepath.Join(dir, "files"), "AUDIT_DATABASE_URL": "sqlite:" + filepath.Join(dir, "trail.db"),
	})
	require.NoError(t, err)
	set := &settings{files: cfg, Addr: "127.0.0.1:0", MetricsAddr: "127.0.0.1:0"}
	require.NoError(t, set.check())
	r := &running{t: t, log: new(testlog.Buffer)}
	r.service, err = open(t.Context(), set, testLogger(r.log))
	require.NoError(t, err)
	anna := r.user("anna@north.example", "north")
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, r.service) }()
	var addr string
	require.Eventually(t, func() bool {
		m := regexp.MustCompile(`msg=serving url=http://([0-9.:]+)/`).FindStringSubmatch(r.log.String())
		if m == nil {
			return false
		}
		addr = m[1]
		res, err := http.Get("http://" + addr + "/readyz")
		return err == nil && res.Body.Close() == nil && res.StatusCode == 200
	}, 20*time.Second, 20*time.Millisecond)

	// The client sends the last part of this upload after the shutdown has
	// begun.
	const head = "--x\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
	body := fmt.Sprintf(head+head+head, "number", "1", "date", "2026-11-02", "total", "1") +
		"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n%PDF-1.7\n"
	const tail = "the end\r\n--x--\r\n"
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "POST /invoice/upload_file HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n%s", addr, anna.Access, len(body)+len(tail), body)
	require.Eventually(t, func() bool { n, err := r.journal.OpenIntents(context.Background()); return err == nil && n == 1 }, 20*time.Second, 10*time.Millisecond)
	stop()
	require.Eventually(t, r.draining.Load, 20*time.Second, 10*time.Millisecond)
	_, err = conn.Write([]byte(tail))
	require.NoError(t, err)
	answer := make([]byte, 12)
	_, err = conn.Read(answer)
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 201", string(answer))
	require.NoError(t, <-served)
	require.NoError(t, r.close(context.Background()))
	assert.Len(t, r.files(), 1)
}
