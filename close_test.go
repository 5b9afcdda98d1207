package blobtrail_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
)

// Close must return when its context ends, even if an operation does not.
func TestCloseReturnsWhenItsContextEnds(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	cfg, _ := local(t, nil)
	app, err := blobtrail.Open(ctx, &blobtrail.Options{Config: &cfg})
	require.NoError(t, err)
	staged, err := app.Store.Stage(ctx, "a", strings.NewReader("x"), nil)
	require.NoError(t, err)

	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- app.Close(soon) }()
	select {
	case err := <-closed:
		require.ErrorIs(t, err, context.DeadlineExceeded)
	case <-time.After(10 * time.Second):
		require.Fail(t, "Close waits beyond its context")
	}
	require.Error(t, app.Journal.Log(ctx, audit.Event{Action: audit.ActionUpload}), "the journal is closed all the same")
	require.ErrorIs(t, staged.Commit(ctx), audit.ErrClosed)
}
