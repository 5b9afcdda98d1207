package blobtrail_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/signurl"
)

func TestOpenLocal(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	key := signurl.GenerateKey()
	cfg, dir := local(t, vars{"LINK_SIGNING_KEYS": key.Encode(), "MAX_UPLOAD_BYTES": "10", "SIGNED_URL_EXPIRATION_SECONDS": "60"})
	var log bytes.Buffer
	app, err := blobtrail.Open(ctx, logTo(&log, cfg))
	require.NoError(t, err)
	assert.NotContains(t, log.String(), "WARN", "nothing to warn of")

	obj, err := app.Store.Upload(ctx, "a/b.txt", strings.NewReader("hello"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(dir, "files of others", "a", "b.txt"))
	assert.True(t, strings.HasPrefix(obj.Link.URL(), cfg.LinkBaseURL))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, obj.Link.URL(), nil)
	require.NoError(t, err)
	link, err := signerOf(t, cfg).Verify(req)
	require.NoError(t, err)
	assert.Equal(t, "a/b.txt", link.Key)

	_, err = app.Store.Upload(ctx, "a/c.txt", strings.NewReader("longer than ten bytes"), nil)
	require.ErrorIs(t, err, blobstore.ErrTooLarge)

	n := 0
	for _, err := range app.Journal.Entries(ctx, audit.Query{}) {
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, 3, n, "upload, link, failed upload")
	require.NoError(t, app.Close(ctx))
}

func TestOpenWarns(t *testing.T) {
	t.Run("of a key that was made up", func(t *testing.T) {
		cfg, _ := local(t, nil)
		var log bytes.Buffer
		app, err := blobtrail.Open(t.Context(), logTo(&log, cfg))
		require.NoError(t, err)
		require.NoError(t, app.Close(context.Background()))
		assert.Contains(t, log.String(), "LINK_SIGNING_KEYS")
	})
	t.Run("of local files in production, once", func(t *testing.T) {
		cfg, _ := local(t, production(nil))
		var log bytes.Buffer
		for range 2 {
			app, err := blobtrail.Open(t.Context(), logTo(&log, cfg))
			require.NoError(t, err)
			require.NoError(t, app.Close(context.Background()))
		}
		assert.Equal(t, 1, strings.Count(log.String(), "local storage in production"), log.String())
	})
}

func TestOpenExplainsMissingImports(t *testing.T) {
	cfg, _ := local(t, vars{"AUDIT_DATABASE_URL": "postgres://u:" + password + "@127.0.0.1:1/files"})
	_, err := blobtrail.Open(t.Context(), logTo(io.Discard, cfg))
	require.ErrorContains(t, err, "AUDIT_DATABASE_URL")
	assertNoSecret(t, err.Error())

	cfg, _ = local(t, vars{"STORAGE_BACKEND": "gcs", "GCS_BUCKET_NAME": "files"})
	_, err = blobtrail.Open(t.Context(), logTo(io.Discard, cfg))
	require.ErrorContains(t, err, `add import _ "github.com/blobtrail/blobtrail/blobstore/gcsstore"`)
}

func TestOpenLeavesNothingOpen(t *testing.T) {
	cfg, dir := local(t, nil)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "trail.db"), []byte(strings.Repeat("no database ", 1000)), 0o600))
	_, err := blobtrail.Open(t.Context(), logTo(io.Discard, cfg))
	require.ErrorContains(t, err, "AUDIT_DATABASE_URL")

	// The journal of a store that can't be opened is closed again.
	cfg, _ = local(t, vars{"STORAGE_URL": "local:///dev/null/files?create=true"})
	_, err = blobtrail.Open(t.Context(), logTo(io.Discard, cfg))
	require.ErrorContains(t, err, "STORAGE_URL")
}

func TestOpenWithProof(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	signing, verifying, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	require.NoError(t, err)
	checkpoints := filepath.ToSlash(t.TempDir())
	cfg, _ := local(t, vars{
		"AUDIT_DEPLOYMENT_KEY": signing.Reveal(), "AUDIT_VERIFIER_KEYS": verifying, "AUDIT_CHECKPOINTS_URL": "local://" + checkpoints,
	})
	app, err := blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg})
	require.NoError(t, err)
	_, err = app.Store.Upload(ctx, "a", strings.NewReader("hello"), nil)
	require.NoError(t, err)
	require.NoError(t, app.Close(ctx), "which publishes")

	app, err = blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg})
	require.NoError(t, err)
	report, err := app.Verify(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.EqualValues(t, 1, report.Published)
	assert.Equal(t, "acme.example/files", report.Streams[0].CertifiedBy)

	// Somebody cuts off the end, which only the published checkpoint shows.
	db := sqlx.NewDb(app.Journal.DB(), "sqlite")
	for _, table := range []string{"file_access_logs", "file_access_checkpoints"} {
		var triggers []string
		require.NoError(t, db.Select(&triggers, "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", table))
		for _, name := range triggers {
			_, err := db.Exec("DROP TRIGGER " + name)
			require.NoError(t, err)
		}
		_, err := db.Exec("DELETE FROM " + table)
		require.NoError(t, err)
	}
	report, err = app.Verify(ctx, nil)
	require.NoError(t, err)
	require.Error(t, report.Err())
	require.NoError(t, app.Close(ctx))

	cfg.AuditCheckpointsURL = "nowhere://x"
	_, err = blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg})
	require.ErrorContains(t, err, "AUDIT_CHECKPOINTS_URL")
}
