package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

// Without its database, the service responds with status 503 and Retry-After on
// every route. The process keeps running.
func TestDatabaseDown(t *testing.T) {
	for name, own := range map[string]func(testing.TB) *testdb.Server{"PostgreSQL": testdb.OwnPostgres, "MariaDB": testdb.OwnMariaDB} {
		t.Run(name, func(t *testing.T) {
			db := own(t)
			s := start(t, vars{"AUDIT_DATABASE_URL": db.New(t)})
			anna := s.user("anna@north.example", "north")
			i, ticket := anna.store("ONE"), anna.begin("TWO", 9)
			db.Shutdown()
			defer db.Start(t)

			unavailable := func(what string, a answer) {
				t.Helper()
				assert.Equal(t, 503, a.status, "%s: %s", what, a.body)
				assert.NotEmpty(t, a.header.Get("Retry-After"), what)
			}
			form := strings.NewReader("email=anna%40north.example&password=" + password)
			unavailable("the form of logging in", do(t, "POST", s.url+"/login", form, "Content-Type", "application/x-www-form-urlencoded"))
			unavailable("login", anna.do("POST", "/auth/login", map[string]string{"email": anna.email, "password": password}))
			unavailable("refresh", anna.do("POST", "/auth/refresh", map[string]string{"refresh_token": anna.Refresh}))
			unavailable("upload", anna.send("/invoice/upload_file", "a.pdf", "%PDF-1.7\n", "number", "1", "date", "2026-11-02", "total", "1"))
			for _, r := range []string{
				"GET /invoice", "GET /invoice/" + i.ID, "GET /invoice/download?invoice_id=" + i.ID, "POST /invoice/" + i.ID + "/link", "DELETE /invoice/" + i.ID,
				"GET /invoice/" + i.ID + "/trail", "POST /trail/verify", "POST /auth/logout", "GET /", "GET /invoices/" + i.ID, "POST /invoice/direct/begin",
			} {
				method, path, _ := strings.Cut(r, " ")
				unavailable(r, anna.do(method, path, nil))
			}
			unavailable("complete", anna.complete(ticket))
			unavailable("the page", do(t, "GET", s.url+"/", nil, "Cookie", cookieRefresh+"="+anna.Refresh))
			unavailable("readyz", anna.do("GET", "/readyz", nil))
			for _, header := range [][]string{nil, {"Authorization", "Bearer " + anna.Access}, {"Authorization", "Bearer x"}, {"Authorization", "Basic eDp5"}, {"Cookie", cookieRefresh + "=" + anna.Refresh}} {
				a := do(t, "GET", s.url+"/healthz", nil, header...)
				assert.Equal(t, 200, a.status, "%q: %s", header, a.body)
			}
			assert.Equal(t, 200, do(t, "GET", s.url+"/static/app.css", nil).status)

			db.Start(t)
			require.Eventually(t, func() bool { return anna.do("GET", "/readyz", nil).status == 200 }, 30*time.Second, 20*time.Millisecond)
			assert.Equal(t, 200, anna.do("GET", "/invoice/"+i.ID, nil).status)
			assert.Equal(t, 204, anna.do("DELETE", "/invoice/"+i.ID, nil).status)
		})
	}
}

// A mistake of the service is not reported as an outage of the database.
func TestFailureWithTheDatabaseUp(t *testing.T) {
	s := start(t, nil)
	_, err := s.db.Exec("ALTER TABLE users RENAME TO gone")
	require.NoError(t, err)
	a := do(t, "POST", s.url+"/auth/login", strings.NewReader(`{"email":"a@b.example","password":"x"}`), "Content-Type", "application/json")
	assert.Equal(t, 500, a.status, a.body)
	assert.Empty(t, a.header.Get("Retry-After"))
}

func (r *running) stateOf(id string) (state string) {
	r.t.Helper()
	require.NoError(r.t, r.db.Get(&state, r.db.Rebind("SELECT state FROM invoices WHERE id = ?"), id))
	return state
}

// removals counts the records of successful removals.
func (r *running) removals(id string) (n int) {
	r.t.Helper()
	for _, err := range r.journal.Entries(r.t.Context(), audit.Query{Resource: audit.Resource{Type: "invoice", ID: id}, Actions: []audit.Action{audit.ActionDelete}, Outcomes: []audit.Outcome{audit.OutcomeOK}}) {
		require.NoError(r.t, err)
		n++
	}
	return n
}

// moveAll moves the files of a folder to another folder.
func moveAll(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(to, 0o700))
	found, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, e := range found {
		require.NoError(t, os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
	}
}

// While the storage is unavailable, nothing is acknowledged or changed.
func TestStorageGone(t *testing.T) {
	for _, name := range []string{"the folder is empty", "the folder is removed"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			anna := s.user("anna@north.example", "north")
			i, deleting, sent := anna.store("ONE"), anna.store("DELETING"), anna.begin("SENT", 9)
			require.Equal(t, 201, do(t, "PUT", sent.URL, strings.NewReader("%PDF-1.7\n"), "Content-Type", "application/pdf").status)
			_, err := s.store.Ticket(sent.Key, sent.ID).Complete(asSystem(t.Context(), "north")) // the process died before it changed the row
			require.NoError(t, err)
			_, err = s.db.Exec("UPDATE invoices SET state = ?, changed_at = 0 WHERE id = ?", stateDeleting, deleting.ID)
			require.NoError(t, err)
			_, err = s.db.Exec("UPDATE invoices SET changed_at = 0 WHERE id = ?", sent.invoice)
			require.NoError(t, err)

			root := s.set.files.LocalPath
			moveAll(t, root, root+".away") // like a volume that is not mounted
			if name == "the folder is removed" {
				require.NoError(t, os.RemoveAll(root))
			}
			a := anna.do("DELETE", "/invoice/"+i.ID, nil)
			assert.Equal(t, 503, a.status, a.body)
			assert.NotEmpty(t, a.header.Get("Retry-After"))
			assert.Equal(t, stateStored, s.stateOf(i.ID))
			assert.Contains(t, s.log.String(), "request failed")
			require.Error(t, s.settle(t.Context()), "the background can't finish what it can't see")
			assert.Equal(t, stateDeleting, s.stateOf(deleting.ID))
			assert.Equal(t, statePending, s.stateOf(sent.invoice))
			assert.Zero(t, s.removals(i.ID)+s.removals(deleting.ID))
			if name == "the folder is removed" {
				return
			}

			moveAll(t, root+".away", root)
			assert.Equal(t, 200, anna.do("GET", "/invoice/download?invoice_id="+i.ID, nil).status)
			require.NoError(t, s.settle(t.Context()))
			assert.Equal(t, stateDeleted, s.stateOf(deleting.ID))
			assert.Equal(t, stateStored, s.stateOf(sent.invoice))
			assert.Equal(t, 204, anna.do("DELETE", "/invoice/"+i.ID, nil).status)
			assert.Equal(t, 1, s.removals(i.ID))
		})
	}
}

// Every route reports that the storage is unavailable, and so does /readyz.
func TestStorageGoneShows(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	i := anna.store("ONE")
	require.NoError(t, os.RemoveAll(s.set.files.LocalPath))
	for what, a := range map[string]answer{
		"upload":   anna.send("/invoice/upload_file", "a.pdf", "%PDF-1.7\n", "number", "1", "date", "2026-11-02", "total", "1"),
		"download": anna.do("GET", "/invoice/download?invoice_id="+i.ID, nil),
		"delete":   anna.do("DELETE", "/invoice/"+i.ID, nil),
		"readyz":   anna.do("GET", "/readyz", nil),
	} {
		assert.Equal(t, 503, a.status, "%s: %s", what, a.body)
		assert.NotEmpty(t, a.header.Get("Retry-After"), what)
	}
	assert.Equal(t, 200, anna.do("GET", "/healthz", nil).status)
	assert.Contains(t, s.log.String(), "not ready: storage")
	assert.GreaterOrEqual(t, strings.Count(s.log.String(), "request failed"), 3)
	assert.Equal(t, stateStored, s.stateOf(i.ID))
}

// A missing file counts as deleted only if the trail has a record of the
// removal.
func TestDeletionOfAMissingFile(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	lost, crashed := anna.store("LOST"), anna.store("CRASHED")
	file := func(id string) string {
		for _, path := range s.files() {
			if strings.Contains(path, id) {
				return path
			}
		}
		t.Fatal("no file of " + id)
		return ""
	}
	require.NoError(t, os.Remove(file(lost.ID)))
	for range 2 {
		a := anna.do("DELETE", "/invoice/"+lost.ID, nil)
		assert.Equal(t, 503, a.status, a.body)
		assert.Contains(t, a.body, "missing")
		assert.Equal(t, stateStored, s.stateOf(lost.ID))
	}
	assert.Contains(t, s.log.String(), errMissing.Error())
	assert.Equal(t, 503, anna.do("GET", "/invoice/download?invoice_id="+lost.ID, nil).status)

	// The process died between deleting the file and changing the row.
	for _, state := range []string{stateDeleting, stateStored} {
		ctx := asSystem(t.Context(), "north")
		i, err := s.find(ctx, crashed.ID, stateStored)
		require.NoError(t, err)
		if state == stateDeleting {
			require.NoError(t, s.move(ctx, i, stateDeleting))
			require.NoError(t, s.deleteFile(ctx, i))
			_, err = s.db.Exec("UPDATE invoices SET changed_at = 0 WHERE id = ?", crashed.ID)
			require.NoError(t, err)
			require.NoError(t, s.settle(t.Context()))
			assert.Equal(t, stateDeleted, s.stateOf(crashed.ID))
			_, err = s.db.Exec("UPDATE invoices SET state = ? WHERE id = ?", stateStored, crashed.ID)
			require.NoError(t, err)
			continue
		}
		assert.Equal(t, 204, anna.do("DELETE", "/invoice/"+crashed.ID, nil).status)
		assert.Equal(t, stateDeleted, s.stateOf(crashed.ID))
	}
	assert.Equal(t, 1, s.removals(crashed.ID))
}

// Malformed requests are mistakes of the client, and the response says so.
func TestMalformedRequests(t *testing.T) {
	s := start(t, nil)
	anna, otto := s.user("anna@north.example", "north"), s.user("otto@south.example", "south")
	foreign, ended := otto.begin("FOREIGN", 9), anna.begin("ENDED", 9)
	theirs := otto.store("THEIRS")
	require.Equal(t, 204, anna.do("POST", "/invoice/direct/abort", map[string]string{"id": ended.ID, "key": ended.Key}).status)
	id := "00000000-0000-4000-8000-000000000000"
	bodies := []string{
		``, `null`, `[]`, `"x"`, `7`, `{`, `{}`, `{"id":7}`, `{"id":"x","key":"y"}`, `{"id":"","key":""}`, `{"id":"x"}`, `{"key":"y"}`, `{"id":"\u0000","key":"\u0000"}`, "{\"id\":\"\xff\"}",
		`{"id":"` + id + `","key":"y"}`, `{"id":"` + id + `","key":"` + ended.Key + `"}`, `{"id":"` + ended.ID + `","key":"` + ended.Key + `"}`, `{"id":"x","key":"` + ended.Key + `"}`,
		`{"id":"` + strings.ToUpper(ended.ID) + `","key":"` + ended.Key + `"}`, `{"id":"` + foreign.ID + `","key":"` + foreign.Key + `"}`, `{"id":"` + foreign.ID + `","key":"` + ended.Key + `"}`,
		`{"id":"` + id + `","key":"../../etc/passwd"}`, `{"id":"` + id + `","key":".blobtrail/uploads/x"}`, `{"id":"` + strings.Repeat("x", 20_000) + `","key":"y"}`,
		`{"size":-1}`, `{"sha256":"zz"}`, `{"content_type":"\u0000"}`, `{"fields":{"number":"1","date":"x","total":"1"}}`, `{"fields":7}`, `{"email":7}`, `{"refresh_token":"x"}`, `{"email":"a","password":"\u0000"}`,
		`{"fields":{"number":"1","date":"2026-11-02","total":"1"},"size":9223372036854775807}`, `{"fields":{"number":"1","date":"2026-11-02","total":"1"},"content_type":"text/html","filename":"a.html"}`,
	}
	logins := 0
	for _, path := range []string{"/invoice/direct/begin", "/invoice/direct/complete", "/invoice/direct/abort", "/auth/refresh", "/auth/login", "/invoice/upload_file", "/invoice/upload_file_auto", "/invoice/upload_file_direct"} {
		for _, body := range bodies {
			for _, contentType := range []string{"application/json", "", "text/plain; charset=x", "multipart/form-data; boundary=x", "application/json; charset=\xff"} {
				if path == "/auth/login" {
					if logins++; logins > 9 {
						break // the rate limit refuses the rest
					}
				}
				a := do(t, "POST", s.url+path, strings.NewReader(body), "Authorization", "Bearer "+anna.Access, "Content-Type", contentType)
				assert.True(t, a.status >= 400 && a.status < 500, "%s %s %.80q: %d %s", path, contentType, body, a.status, a.body)
				assert.Contains(t, a.body, `"title":"`, "%s %.80q", path, body)
			}
		}
	}
	for _, bad := range []string{"x", id, strings.ToUpper(theirs.ID), theirs.ID, "%00", "%ff", "..%2f..", strings.Repeat("9", 3000), "{" + id + "}", "'%20OR%201=1"} {
		for _, r := range []string{"GET /invoice/", "DELETE /invoice/", "GET /invoice/download?invoice_id=", "GET /invoices/", "POST /invoice/*/link", "GET /invoice/*/trail"} {
			method, path, _ := strings.Cut(r, " ")
			if path = strings.Replace(path, "*", bad, 1); !strings.Contains(r, "*") {
				path += bad
			}
			a := anna.do(method, path, nil)
			assert.True(t, a.status >= 400 && a.status < 500, "%s %.100s: %d %s", method, path, a.status, a.body)
		}
	}
	for _, path := range []string{"x", "?key=y", "x?key=y&sig=z", "%00", "tenants/south/x?exp=9&sig=AAAA", "?" + strings.Repeat("a=b&", 1000)} {
		for _, method := range []string{"GET", "PUT", "DELETE", "POST"} {
			a := do(t, method, s.url+"/files/"+path, http.NoBody, "Range", "bytes=9-1,x", "If-Match", "\xff")
			assert.True(t, a.status >= 400 && a.status < 500, "%s %.50s: %d %s", method, path, a.status, a.body)
		}
	}
	odd := []string{"Authorization", "Bearer " + anna.Access, "User-Agent", strings.Repeat("\xff", 2000), "X-Request-Id", strings.Repeat("\xff", 200), "X-Forwarded-For", "x"}
	a := do(t, "POST", s.url+"/invoice/direct/complete", strings.NewReader(`{"id":"x","key":"y"}`), append(odd, "Content-Type", "application/json")...)
	assert.Equal(t, 404, a.status, a.body)
	assert.Equal(t, 200, do(t, "GET", s.url+"/invoice", nil, odd...).status)
	assert.NotContains(t, s.log.String(), "request failed")
	assert.Len(t, s.files(), 1, "the one of the other tenant")
	assert.Equal(t, 404, otto.complete(foreign).status, "it waits for its bytes as before")
}
