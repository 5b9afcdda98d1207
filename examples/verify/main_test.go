package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/config"
)

// Verify reads the bucket to which AUDIT_CHECKPOINTS_URL publishes.
func TestBucketsOfEveryProvider(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	cfg, err := config.LoadFrom(map[string]string{
		"LOCAL_STORAGE_PATH": filepath.Join(dir, "files"), "AUDIT_DATABASE_URL": "sqlite:" + filepath.Join(dir, "trail.db"),
		"AUDIT_CHECKPOINTS_URL": "local://" + filepath.ToSlash(dir) + "/checkpoints?create=true",
	})
	require.NoError(t, err)
	app, err := blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, app.Journal.Log(ctx, audit.Event{Action: audit.ActionDownload, Key: "a", Actor: audit.Actor{UserID: "u"}}))
	require.NoError(t, app.Close(ctx))

	var out, errOut bytes.Buffer
	code := run(ctx, &out, &errOut, []string{"-bucket", "local://" + filepath.ToSlash(dir) + "/checkpoints", "sqlite:" + filepath.Join(dir, "trail.db")})
	assert.Equal(t, 0, code, errOut.String())
	assert.Contains(t, out.String(), "1 published one")
	for _, bucket := range []string{"s3://", "azblob://", "gs://"} {
		errOut.Reset()
		code = run(ctx, &out, &errOut, []string{"-bucket", bucket, "sqlite:" + filepath.Join(dir, "trail.db")})
		assert.Equal(t, exitFailed, code)
		assert.NotContains(t, errOut.String(), "no provider", bucket)
		assert.NotContains(t, errOut.String(), "no driver", bucket)
	}
}

// A URL may create a missing bucket, like the URL of the service. Here, a
// mistyped URL is an error, and nothing is created.
func TestNoBucketIsMade(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	journal, err := sqlaudit.Open(ctx, "sqlite:"+filepath.Join(dir, "trail.db"), nil)
	require.NoError(t, err)
	require.NoError(t, journal.Close(ctx))
	missing := filepath.Join(dir, "mistyped")
	for _, bucket := range []string{
		"local://" + filepath.ToSlash(missing) + "?create=true", "file://" + filepath.ToSlash(missing) + "?create=true", "file://" + filepath.ToSlash(missing) + "?create_dir=true",
	} {
		var out, errOut bytes.Buffer
		assert.Equal(t, exitFailed, run(ctx, &out, &errOut, []string{"-bucket", bucket, "sqlite:" + filepath.Join(dir, "trail.db")}), "%s: %s", bucket, out.String())
		assert.Contains(t, errOut.String(), "opening the bucket", bucket)
		assert.NoDirExists(t, missing, bucket)
	}
}

// A bucket that fails to close is an error, like a database.
func TestBucketThatDoesNotClose(t *testing.T) {
	ctx := context.Background()
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "trail.db")
	journal, err := sqlaudit.Open(ctx, dsn, nil)
	require.NoError(t, err)
	require.NoError(t, journal.Close(ctx))
	driver.Register("unclosable", func(context.Context, *url.URL, driver.Credentials) (driver.Bucket, error) {
		return unclosable{driver.FromBlob(memblob.OpenBucket(nil), driver.Info{})}, nil
	})
	var out, errOut bytes.Buffer
	assert.Equal(t, exitFailed, run(ctx, &out, &errOut, []string{"-bucket", "unclosable://", dsn}), out.String())
	assert.Contains(t, errOut.String(), "does not close")
}

type unclosable struct{ driver.Bucket }

func (unclosable) Close() error { return errors.New("it does not close") }

func TestVerify(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	dsn := "sqlite:" + filepath.Join(dir, "trail.db")
	to := (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(dir, "bucket")), RawQuery: "create_dir=true&no_tmp_dir=true"}).String()
	signing, key, err := sqlaudit.GenerateDeploymentKey("example.com/trail")
	require.NoError(t, err)
	bucket, err := blob.OpenBucket(ctx, to)
	require.NoError(t, err)
	defer bucket.Close()
	j, err := sqlaudit.Open(ctx, dsn, &sqlaudit.Options{DeploymentKey: signing, Publish: &sqlaudit.PublishOptions{To: sqlaudit.Checkpoints{Bucket: bucket, Prefix: "trail/"}}})
	require.NoError(t, err)
	for range 5 {
		require.NoError(t, j.Log(ctx, audit.Event{Action: audit.ActionDownload, Key: "a", Actor: audit.Actor{UserID: "u"}}))
	}
	require.NoError(t, j.Close(ctx))

	verify := func(args ...string) (code int, out, errOut string) {
		var o, e bytes.Buffer
		code = run(ctx, &o, &e, args)
		return code, o.String(), e.String()
	}
	full := []string{"-key", key, "-bucket", to, "-prefix", "trail/", dsn}
	code, out, errOut := verify(full...)
	assert.Equal(t, 0, code, errOut)
	assert.Contains(t, out, "5 entries by 1 writer")
	assert.Contains(t, out, "certified by example.com/trail")
	assert.Contains(t, out, "SOUND")
	code, out, _ = verify(dsn)
	assert.Equal(t, 3, code)
	assert.Contains(t, out, "SOUND, BUT NOT ANCHORED")
	assert.Contains(t, out, "No bucket was given")
	assert.Contains(t, out, "No deployment key was given")

	for _, prefix := range []string{"", "wrong/", "trail", "trail//"} {
		code, out, _ = verify("-key", key, "-bucket", to, "-prefix", prefix, dsn)
		assert.Equal(t, 2, code, prefix)
		assert.Contains(t, out, "NOT CHECKABLE", prefix)
		assert.NotContains(t, out, "SOUND", prefix)
	}

	for name, args := range map[string][]string{
		"no database":       {},
		"a flag of no name": {"-x", dsn},
		"no such file":      {"sqlite:" + filepath.Join(dir, "other.db")},
		"no such scheme":    {"oracle:x"},
		"no such bucket":    {"-bucket", "nowhere://x", dsn},
		"no key":            {"-key", "x", dsn},
	} {
		code, _, errOut := verify(args...)
		assert.Equal(t, exitFailed, code, name)
		assert.NotEmpty(t, errOut, name)
	}
	assert.NoFileExists(t, filepath.Join(dir, "other.db"))

	db, err := sqlx.Open("sqlite", filepath.Join(dir, "trail.db"))
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec("DROP TRIGGER file_access_logs_no_update")
	require.NoError(t, err)
	_, err = db.Exec("UPDATE file_access_logs SET file_key = 'b' WHERE seq = 2")
	require.NoError(t, err)
	code, out, _ = verify(full...)
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "TAMPERED")
	assert.Contains(t, out, "entry 2")
	assert.Contains(t, out, "the entry was changed")
}
