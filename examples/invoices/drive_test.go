package main

// This file drives every endpoint with curl, on local files and SQLite and on
// real services and databases. The responses must be equal, except for the form
// of a download.

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/integration"
	"github.com/blobtrail/blobtrail/internal/testdb"
	"github.com/blobtrail/blobtrail/secret"
)

// backends lists the environments of the service.
var backends = []struct {
	name string
	env  func(t *testing.T) vars
}{
	{"local and SQLite", func(*testing.T) vars { return nil }},
	{"S3 and PostgreSQL", func(t *testing.T) vars {
		s := integration.VersityGW(t)
		makeBucket(t, s, "invoices-app")
		return vars{
			"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "invoices-app", "S3_ENDPOINT": s.Endpoint, "S3_USE_PATH_STYLE": "true", "S3_SSE": "none",
			"S3_ACCESS_KEY": s.AccessKey, "S3_SECRET_KEY": s.SecretKey, "AUDIT_DATABASE_URL": testdb.OwnPostgres(t).New(t),
		}
	}},
	{"Azure and MariaDB", func(t *testing.T) vars {
		return vars{
			"STORAGE_BACKEND": "azure", "AZURE_CONTAINER_NAME": "invoices-app", "AZURE_STORAGE_CONNECTION_STRING": integration.Azurite(t).ConnectionString,
			"AUDIT_DATABASE_URL": testdb.OwnMariaDB(t).New(t),
		}
	}},
	{"GCS and PostgreSQL", func(t *testing.T) vars {
		s := integration.FakeGCS(t)
		return vars{
			"STORAGE_URL": "gs://invoices-app?create=true&endpoint=" + s.Endpoint, "GCS_CREDENTIALS_PATH": s.CredentialsFile,
			"AUDIT_DATABASE_URL": testdb.OwnPostgres(t).New(t),
		}
	}},
}

func makeBucket(t *testing.T, s *integration.S3, name string) {
	t.Helper()
	b, err := driver.Open(t.Context(), "s3://"+name+"?create=true&region=us-east-1&use_path_style=true&sse=none&endpoint="+s.Endpoint, driver.Credentials{AccessKey: secret.New(s.AccessKey), SecretKey: secret.New(s.SecretKey)})
	require.NoError(t, err)
	require.NoError(t, b.Close())
}

func TestEveryEndpointWithCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("left out: needs curl")
	}
	var want string
	for _, tt := range backends {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tt.env(t))
			require.NoError(t, s.demoUser(t.Context()))
			pdf, err := filepath.Abs(invoicePDF)
			require.NoError(t, err)
			out, err := exec.CommandContext(t.Context(), "testdata/drive.sh", s.url, demoEmail, demoPassword, pdf).CombinedOutput()
			require.NoError(t, err, "%s\n%s", out, s.log)
			text := string(out)
			form := regexp.MustCompile(`download form: the file`)
			if tt.name != backends[0].name {
				form = regexp.MustCompile(`download form: download_url, expires_in_seconds (3600|35\d\d)\n`)
			}
			assert.Len(t, form.FindAllString(text, -1), 3, text)
			got := plain(text)
			if want == "" {
				want = got
				t.Log("\n" + got)
				for _, step := range []string{
					"login: 200", "login with a wrong password: 401", "nobody: 401", "upload_file: 201", "upload_file_auto: 201", "upload_file_direct: 201",
					"without a transaction: 422", "bad details: 422", "another type: 415", "broken PDF: 422", "complete too early: 404", "complete: 200", "complete again: 200", "straight to the bucket: 200",
					"delete: 204", "delete again: 404", "was deleted: 404", "trail: 200", "not there: 404", "logout: 204", "after logging out: 401",
				} {
					assert.Contains(t, got, step)
				}
				assert.Contains(t, got, `"number":"2026-0042","date":"2026-11-02","total":"2403.80","currency":"EUR"`, "read from the PDF")
				assert.Contains(t, got, `"action":"delete","outcome":"ok"`)
				assert.NotContains(t, got, `"verification":"pending"`)
			}
			wantLines, gotLines := lines(want), lines(got)
			require.Len(t, gotLines, len(wantLines))
			for i := range wantLines {
				assert.Equal(t, wantLines[i], gotLines[i])
			}
			assert.NotContains(t, s.log.String(), "ERROR")
		})
	}
}

// The parts of responses that differ between runs, and the form of a download.
var changing = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`"user_agent":"curl[^"]*"`), `"user_agent":"curl"`},
	{regexp.MustCompile(`download form: .*`), "download form"},
	{regexp.MustCompile(`"expires_in_seconds":(3600|35\d\d)\b`), `"expires_in_seconds":3600`}, // a few seconds may have passed
	{regexp.MustCompile(`\{"entry_id":"[^{}]*"action":"(download|generate_url)"[^{}]*\},?`), ""},
}

func plain(text string) string {
	for _, c := range changing {
		text = c.what.ReplaceAllString(text, c.by)
	}
	return text
}

// Processes that start concurrently on an empty database all succeed.
func TestProcessesCreateTablesConcurrently(t *testing.T) {
	for name, dsn := range map[string]func(t *testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "trail.db") },
		"PostgreSQL": func(t *testing.T) string { return testdb.OwnPostgres(t).New(t) },
		"MariaDB":    func(t *testing.T) string { return testdb.OwnMariaDB(t).New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, vars{"AUDIT_DATABASE_URL": dsn(t)})
			for range 10 {
				for _, table := range []string{"users", "sessions", "invoices"} {
					_, err := s.db.Exec("DROP TABLE " + table)
					require.NoError(t, err)
				}
				made := make(chan error, 8)
				for range cap(made) {
					go func() { made <- createTables(context.Background(), s.db) }()
				}
				for range cap(made) {
					assert.NoError(t, <-made)
				}
			}
		})
	}
}

// No file name and no user agent may cause an error of the database.
func TestStrangeNamesOnPostgreSQL(t *testing.T) {
	s := start(t, vars{"AUDIT_DATABASE_URL": testdb.OwnPostgres(t).New(t)})
	anna := s.user("anna@north.example", "north")
	fields := map[string]string{"number": "1", "date": "2026-11-02", "total": "1"}
	for _, name := range []string{strings.Repeat("ü", 5000) + ".pdf", "a\x00b.pdf", "a\xffb.pdf"} {
		a := anna.do("POST", "/invoice/direct/begin", blobhttp.DirectBegin{Filename: name, ContentType: "application/pdf", Size: 9, Fields: fields})
		assert.Equal(t, 201, a.status, "%.20q: %s", name, a.body)
		a = anna.send("/invoice/upload_file", strings.ReplaceAll(name, "\x00", ""), "%PDF-1.7\n", "number", "1", "date", "2026-11-02", "total", "1")
		assert.Equal(t, 201, a.status, "%.20q: %s", name, a.body)
	}
	a := anna.do("POST", "/auth/login", map[string]string{"email": "a\x00@b.example", "password": password})
	assert.Equal(t, 401, a.status, a.body)
	a = anna.send("/invoice/upload_file", "a.pdf", "%PDF-1.7\n", "number", "a\x00b", "date", "2026-11-02", "total", "1")
	assert.Equal(t, 422, a.status, a.body)
}

func TestHeadersOfEveryResponse(t *testing.T) {
	s := start(t, vars{"LINK_BASE_URL": ""})
	for _, path := range []string{"/login", "/", "/static/app.css", "/invoice", "/healthz", "/nothing"} {
		a := do(t, "GET", s.url+path, nil)
		assert.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'", path)
		assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"), path)
		assert.NotEmpty(t, a.header.Get("X-Request-Id"), path)
		assert.Empty(t, a.header.Get("Strict-Transport-Security"), path)
	}
	s = start(t, vars{"LINK_BASE_URL": "https://files.example.com/files/"})
	a := do(t, "GET", s.url+"/login", nil)
	assert.NotEmpty(t, a.header.Get("Strict-Transport-Security"))
}
