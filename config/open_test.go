package config_test

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/signurl"
)

// load is a configuration in a folder of its own.
func load(t *testing.T, more vars) config.Config {
	t.Helper()
	dir := t.TempDir()
	cfg, err := config.LoadFrom(with(vars{
		"LOCAL_STORAGE_PATH": filepath.Join(dir, "my files"), "AUDIT_DATABASE_URL": "sqlite:" + filepath.Join(dir, "trail.db"),
	}, more))
	require.NoError(t, err)
	return cfg
}

func logger() (*slog.Logger, *bytes.Buffer) {
	var text bytes.Buffer
	return slog.New(slog.NewTextHandler(&text, nil)), &text
}

func TestOpenStoresLinksAndRecords(t *testing.T) {
	cfg := load(t, vars{"SIGNED_URL_EXPIRATION_SECONDS": "120", "MAX_UPLOAD_BYTES": "5", "LINK_BASE_URL": "https://files.example.com/f/"})
	log, warnings := logger()
	app, err := config.Open(t.Context(), cfg, &config.Options{Logger: log})
	require.NoError(t, err)
	assert.Contains(t, warnings.String(), "LINK_SIGNING_KEYS is not set")

	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	key := blobstore.NewKey("invoices", "March.pdf")
	obj, err := app.Store.Upload(ctx, key, strings.NewReader("hello"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(obj.Link.URL, "https://files.example.com/f/"+key), "the base URL")
	assert.WithinDuration(t, time.Now().Add(2*time.Minute), obj.Link.Expires, 10*time.Second)
	_, err = app.Store.Upload(ctx, "long", strings.NewReader("123456"), nil)
	require.ErrorIs(t, err, blobstore.ErrTooLarge)

	var actions []audit.Action
	for e, err := range app.Journal.Entries(ctx, audit.Query{Key: key}) {
		require.NoError(t, err)
		assert.Equal(t, "anna", e.Actor.UserID)
		actions = append(actions, e.Action)
	}
	assert.Equal(t, []audit.Action{audit.ActionUpload, audit.ActionGenerateURL}, actions)
	require.NoError(t, app.Close(t.Context()))
	_, err = app.Store.Download(ctx, key, nil)
	require.ErrorIs(t, err, blobstore.ErrClosed)
	require.ErrorIs(t, app.Journal.Log(ctx, audit.Event{Action: audit.ActionDownload, Key: key, Outcome: audit.OutcomeOK}), audit.ErrClosed)

	// What it stored is there for the next process.
	app, err = config.Open(t.Context(), cfg, &config.Options{Logger: log})
	require.NoError(t, err)
	r, err := app.Store.Download(ctx, key, nil)
	require.NoError(t, err)
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(content))
	require.NoError(t, r.Close())
	require.NoError(t, app.Close(t.Context()))
}

func TestOptionsOfTheProgramComeFirst(t *testing.T) {
	cfg := load(t, vars{"MAX_UPLOAD_BYTES": "5"})
	log, warnings := logger()
	signer, err := signurl.New("https://elsewhere.example.com/", []signurl.Key{signurl.NewKey()}, nil)
	require.NoError(t, err)
	app, err := config.Open(t.Context(), cfg, &config.Options{Logger: log, Store: &blobstore.Options{
		Signer: signer, MaxSize: 6, DefaultActor: audit.Actor{UserID: "cron"},
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, app.Close(t.Context())) }()
	assert.Same(t, signer, app.Signer)
	assert.Empty(t, warnings.String(), "no key was made up")
	_, err = app.Store.Upload(t.Context(), "a", strings.NewReader("123456"), nil)
	require.NoError(t, err)
}

func TestLocalFilesInProductionWarnOnce(t *testing.T) {
	cfg := load(t, production(nil))
	log, warnings := logger()
	for range 2 {
		app, err := config.Open(t.Context(), cfg, &config.Options{Logger: log})
		require.NoError(t, err)
		require.NoError(t, app.Close(t.Context()))
	}
	assert.Equal(t, 1, strings.Count(warnings.String(), "local files in production"))
	assert.NotContains(t, warnings.String(), "LINK_SIGNING_KEYS")
}

func TestLinksOfOneProcessHoldInTheNext(t *testing.T) {
	cfg := load(t, vars{"LINK_SIGNING_KEYS": signurl.NewKey().Encode() + "," + signurl.NewKey().Encode()})
	log, warnings := logger()
	sign := func() *signurl.Signer {
		app, err := config.Open(t.Context(), cfg, &config.Options{Logger: log})
		require.NoError(t, err)
		require.NoError(t, app.Close(t.Context()))
		return app.Signer
	}
	link := signurl.Link{Method: "GET", Key: "a", Expires: time.Now().Add(time.Hour).Truncate(time.Second), GrantID: signurl.NewGrantID()}
	first, err := sign().Sign(link)
	require.NoError(t, err)
	second, err := sign().Sign(link)
	require.NoError(t, err)
	assert.Equal(t, first, second)
	assert.Empty(t, warnings.String())
}

func TestOpenFailsByName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	tests := []struct {
		name string
		env  vars
		want []string
	}{
		{"s3 without its provider", s3(vars{"S3_ACCESS_KEY": accessKey, "S3_SECRET_KEY": secretKey}), []string{"STORAGE_BACKEND", `import _ "github.com/blobtrail/blobtrail/blobstore/s3store"`}},
		{"azure without its provider", azure(vars{"AZURE_STORAGE_ACCOUNT_URL": "https://a.blob.core.windows.net"}), []string{"STORAGE_BACKEND", `import _ "github.com/blobtrail/blobtrail/blobstore/azurestore"`}},
		{"gcs without its provider", gcs(nil), []string{"STORAGE_BACKEND", `import _ "github.com/blobtrail/blobtrail/blobstore/gcsstore"`}},
		{"a URL without its provider", vars{"STORAGE_URL": "swift://files"}, []string{"STORAGE_URL", "swift://"}},
		{"a URL of a folder that is missing", vars{"STORAGE_URL": "local://" + file + "/x"}, []string{"STORAGE_URL", file}},
		{"a database in a folder that is missing", vars{"AUDIT_DATABASE_URL": "sqlite:" + file + "/trail.db"}, []string{"AUDIT_DATABASE_URL", file}},
		{"a database that is none", vars{"AUDIT_DATABASE_URL": "sqlite:" + filepath.Dir(file)}, []string{"AUDIT_DATABASE_URL"}},
	}
	log, _ := logger()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app, err := config.Open(t.Context(), load(t, tt.env), &config.Options{Logger: log})
			require.Error(t, err)
			assert.Nil(t, app)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
			assertNoSecret(t, err.Error())
		})
	}
}

func TestOpenChecksWhatTheProgramChanged(t *testing.T) {
	cfg := load(t, nil)
	cfg.MaxUploadBytes, cfg.LinkExpiry = -1, 0
	_, err := config.Open(t.Context(), cfg, nil)
	assert.Equal(t, []string{"SIGNED_URL_EXPIRATION_SECONDS", "MAX_UPLOAD_BYTES"}, problemsOf(t, err))
}

// A program of its own, since this one has the provider and the driver.
func TestMissingImportsAreNamed(t *testing.T) {
	for _, tt := range []struct{ tags, want string }{
		{"", `import _ "modernc.org/sqlite"`},
		{"sqlite", `import _ "github.com/blobtrail/blobtrail/blobstore/filestore"`},
	} {
		t.Run(tt.want, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "bare")
			out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", tt.tags, "-o", program, "./testdata/bare").CombinedOutput()
			require.NoError(t, err, "%s", out)
			cmd := exec.CommandContext(t.Context(), program)
			cmd.Dir = t.TempDir()
			for _, entry := range os.Environ() {
				if name, _, _ := strings.Cut(entry, "="); !isOurs(name) {
					cmd.Env = append(cmd.Env, entry)
				}
			}
			out, err = cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "add "+tt.want)
		})
	}
}

func isOurs(name string) bool {
	for _, v := range config.Variables() {
		if v == name {
			return true
		}
	}
	return false
}
