package blobtrail_test

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/testlog"
)

// Open settles the operation of an earlier process without a call of the
// program, before the first interval has passed.
func TestOpenReconciles(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	cfg, _ := local(t, nil)
	quiet := logTo(io.Discard, cfg)
	quiet.ReconcileEvery = -1
	dead, err := blobtrail.Open(ctx, quiet)
	require.NoError(t, err)
	info := dead.Store.Info()
	_, err = dead.Journal.Begin(ctx, audit.Event{Action: audit.ActionUpload, Key: "a", Backend: info.Backend, Bucket: info.Bucket}, time.Millisecond)
	require.NoError(t, err)
	require.NoError(t, dead.Close(ctx))

	var log testlog.Buffer
	app, err := blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg, Logger: slog.New(slog.NewTextHandler(&log, nil)), ReconcileEvery: 20 * time.Millisecond})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "settled") }, 30*time.Second, 5*time.Millisecond)
	var found []audit.Outcome
	for e, err := range app.Journal.Entries(ctx, audit.Query{Key: "a"}) {
		require.NoError(t, err)
		found = append(found, e.Outcome)
	}
	assert.Equal(t, []audit.Outcome{audit.OutcomeFailed}, found)
	require.NoError(t, app.Close(ctx))
	require.Error(t, app.Close(ctx), "a second Close")
}

// Open logs one line about the store and the trail, without secrets. The line
// contains unknown variables that resemble known ones.
func TestOpenLogsStoreAndTrail(t *testing.T) {
	cfg, dir := local(t, nil)
	t.Setenv("LOCAL_STORAGE_PATH", cfg.LocalPath)
	t.Setenv("AUDIT_DATABASE_URL", "sqlite:"+dir+"/trail.db?_pragma=busy_timeout(5000)")
	t.Setenv("STORAGE_BACKND", "s3")
	var log testlog.Buffer
	app, err := blobtrail.Open(t.Context(), &blobtrail.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), ReconcileEvery: -1})
	require.NoError(t, err)
	require.NoError(t, app.Close(t.Context()))
	assert.Contains(t, log.String(), "level=WARN")
	assert.Contains(t, log.String(), "STORAGE_BACKND")
	assert.Contains(t, log.String(), "store=local://")
	assert.Contains(t, log.String(), "trail=sqlite:"+dir+"/trail.db")
	assert.NotContains(t, log.String(), "busy_timeout")
}
