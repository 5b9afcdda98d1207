package blobtrail_test

// This file tests options set by the program, and its imports.

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/signurl"
)

func TestOptionsOfTheProgramTakePrecedence(t *testing.T) {
	cfg, _ := local(t, vars{"MAX_UPLOAD_BYTES": "5"})
	var warnings bytes.Buffer
	signer, err := signurl.New("https://elsewhere.example.com/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(t, err)
	opts := logTo(&warnings, cfg)
	opts.Store = &blobstore.Options{Signer: signer, MaxSize: 6, DefaultActor: audit.Actor{UserID: "cron"}}
	app, err := blobtrail.Open(t.Context(), opts)
	require.NoError(t, err)
	defer func() { require.NoError(t, app.Close(t.Context())) }()
	assert.NotContains(t, warnings.String(), "WARN", "no key was generated")
	obj, err := app.Store.Upload(t.Context(), "a", strings.NewReader("123456"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
	require.NoError(t, err)
	_, err = signer.Verify(httptest.NewRequest(http.MethodGet, obj.Link.URL(), nil))
	require.NoError(t, err)
}

func TestLinksAreValidInTheNextProcess(t *testing.T) {
	cfg, _ := local(t, vars{"LINK_SIGNING_KEYS": signurl.GenerateKey().Encode() + "," + signurl.GenerateKey().Encode()})
	var warnings bytes.Buffer
	open := func() *blobtrail.App {
		app, err := blobtrail.Open(t.Context(), logTo(&warnings, cfg))
		require.NoError(t, err)
		return app
	}
	first := open()
	link, err := first.Store.Link(audit.WithActor(t.Context(), audit.Actor{UserID: "anna"}), "a", nil)
	require.NoError(t, err)
	require.NoError(t, first.Close(t.Context()))
	second := open()
	_, err = signerOf(t, cfg).Verify(httptest.NewRequest(http.MethodGet, link.URL(), nil))
	require.NoError(t, err)
	require.NoError(t, second.Close(t.Context()))
	assert.NotContains(t, warnings.String(), "WARN")
}

func TestUsedLinksStayUsedInTheNextProcess(t *testing.T) {
	cfg, _ := local(t, vars{"LINK_SIGNING_KEYS": signurl.GenerateKey().Encode()})
	url := ""
	use := func() error {
		app, err := blobtrail.Open(t.Context(), logTo(io.Discard, cfg))
		require.NoError(t, err)
		defer func() { require.NoError(t, app.Close(t.Context())) }()
		ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
		if url == "" {
			link, err := app.Store.Link(ctx, "a", &blobstore.LinkOptions{MaxUses: 1})
			require.NoError(t, err)
			url = link.URL()
		}
		_, err = app.Store.Redeem(httptest.NewRequestWithContext(ctx, http.MethodGet, url, nil))
		return err
	}
	require.NoError(t, use())
	require.ErrorIs(t, use(), signurl.ErrRevoked)
}

func TestOpenNamesTheFailingVariable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	tests := []struct {
		name string
		env  vars
		want []string
	}{
		{"s3 without its provider", vars{"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "files", "S3_ACCESS_KEY": accessKey, "S3_SECRET_KEY": secretKey}, []string{"STORAGE_BACKEND, with the credentials of S3_ACCESS_KEY: ", `import _ "github.com/blobtrail/blobtrail/blobstore/s3store"`}},
		{"azure without its provider", vars{"STORAGE_BACKEND": "azure", "AZURE_CONTAINER_NAME": "files", "AZURE_STORAGE_ACCOUNT_URL": "https://a.blob.core.windows.net"}, []string{"STORAGE_BACKEND", `import _ "github.com/blobtrail/blobtrail/blobstore/azurestore"`}},
		{"gcs without its provider", vars{"STORAGE_BACKEND": "gcs", "GCS_BUCKET_NAME": "files"}, []string{"STORAGE_BACKEND", `import _ "github.com/blobtrail/blobtrail/blobstore/gcsstore"`}},
		{"a URL without its provider", vars{"STORAGE_URL": "swift://files"}, []string{"STORAGE_URL", "swift://"}},
		{"a URL of a folder that is missing", vars{"STORAGE_URL": "local://" + file + "/x"}, []string{"STORAGE_URL", file}},
		{"a database in a folder that is missing", vars{"AUDIT_DATABASE_URL": "sqlite:" + file + "/trail.db"}, []string{"AUDIT_DATABASE_URL", file}},
		{"a database that is none", vars{"AUDIT_DATABASE_URL": "sqlite:" + filepath.Dir(file)}, []string{"AUDIT_DATABASE_URL"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _ := local(t, tt.env)
			app, err := blobtrail.Open(t.Context(), logTo(io.Discard, cfg))
			require.Error(t, err)
			assert.Nil(t, app)
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
			assertNoSecret(t, err.Error())
		})
	}
}

func TestOpenValidatesAChangedConfig(t *testing.T) {
	cfg, _ := local(t, nil)
	cfg.MaxUploadSize, cfg.LinkExpiry = -1, 0
	_, err := blobtrail.Open(t.Context(), &blobtrail.Options{Config: &cfg})
	require.ErrorContains(t, err, "SIGNED_URL_EXPIRATION_SECONDS")
	require.ErrorContains(t, err, "MAX_UPLOAD_BYTES")
	var p *config.Problem
	require.ErrorAs(t, err, &p)

	cfg, _ = local(t, production(nil))
	cfg.Strict = true
	_, err = blobtrail.Open(t.Context(), &blobtrail.Options{Config: &cfg})
	require.ErrorContains(t, err, "LOCAL_STORAGE_PATH")
}

// This test builds a separate program, because the test binary already imports
// a provider and a driver.
func TestMissingImportsAreNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short: building two programs")
	}
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
				if name, _, _ := strings.Cut(entry, "="); !slices.Contains(config.Variables(), name) {
					cmd.Env = append(cmd.Env, entry)
				}
			}
			out, err = cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "add "+tt.want)
		})
	}
}
