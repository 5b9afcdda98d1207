package sqlaudit_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

const childCallers, childEach = 8, 25

// childWriter is a process of TestTwoProcesses.
func childWriter(path string) int {
	ctx := context.Background()
	j, err := sqlaudit.Open(ctx, "sqlite:"+path, &sqlaudit.Options{Logger: quiet})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var wg sync.WaitGroup
	errs := make(chan error, childCallers*childEach)
	for range childCallers {
		wg.Go(func() {
			for range childEach {
				in, err := j.Begin(ctx, event("k"), 0)
				if err == nil {
					err = in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK})
				}
				if err != nil {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	code := 0
	for err := range errs {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := j.Close(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Two processes migrate a new file concurrently, then write to it.
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trail.db")
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "SQLAUDIT_TEST_WRITER="+path)
			out, err := cmd.CombinedOutput()
			assert.NoError(t, err, string(out))
		})
	}
	wg.Wait()
	j, db := openDSN(t, "sqlite:"+path, nil)
	got := entries(t, j, audit.Query{})
	require.Equal(t, 2*childCallers*childEach, len(got))
	requireWholeStreams(t, got)
	assert.Equal(t, 2, db.count(t, "file_access_writers"))
	assert.Zero(t, db.count(t, "file_access_intents"))
}

// A process that opens the file while another one sets it up waits, although
// SQLite does not wait in this case.
func TestOpenWaitsForAFileThatIsBeingSetUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trail.db")
	db, err := sqlx.Open("sqlite", "file:"+path+"?_txlock=immediate")
	require.NoError(t, err)
	defer db.Close()
	tx, err := db.Begin()
	require.NoError(t, err)
	var over atomic.Bool
	time.AfterFunc(100*time.Millisecond, func() {
		over.Store(true)
		assert.NoError(t, tx.Rollback())
	})
	j, err := sqlaudit.Open(t.Context(), "sqlite:"+path, &sqlaudit.Options{Logger: quiet})
	require.NoError(t, err)
	assert.True(t, over.Load())
	require.NoError(t, j.Close(t.Context()))

	t.Run("until its context ends", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "trail.db")
		db, err := sqlx.Open("sqlite", "file:"+path+"?_txlock=immediate")
		require.NoError(t, err)
		defer db.Close()
		tx, err := db.Begin()
		require.NoError(t, err)
		defer tx.Rollback()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = sqlaudit.Open(ctx, "sqlite:"+path, &sqlaudit.Options{Logger: quiet})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
