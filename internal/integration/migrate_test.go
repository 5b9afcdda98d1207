//go:build unix

package integration

// This file tests a migration from local files to a service that is killed
// repeatedly.

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/transfer"
)

var (
	migrateFiles = flag.Int("migrate-files", 300, "files of the migration that is killed")
	migrateLarge = flag.Int64("migrate-large", 1<<20, "bytes of its largest file; the smallest has 1 KiB")
	migrateKills = flag.Int("migrate-kills", 5, "how often it is killed")
)

const (
	envMigrateFrom  = "MIGRATE_CHILD_FROM"
	envMigrateTo    = "MIGRATE_CHILD_TO"
	envMigrateTrail = "MIGRATE_CHILD_TRAIL"
	envMigrateStop  = "MIGRATE_CHILD_STOP" // number of copies before it waits to be killed; empty means never
)

// migrateChild is the main function of a migrating process, and does not return
// there.
func migrateChild() {
	if os.Getenv(envMigrateFrom) == "" {
		return
	}
	err := func() error {
		ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "migrate"})
		journal, src, dst, err := openBoth(ctx)
		if err != nil {
			return err
		}
		if _, err := dst.Reconcile(ctx); err != nil {
			return err
		}
		copied := 0
		_, err = transfer.Copy(ctx, dst, src, &transfer.Options{Parallel: 8, Each: func(r transfer.Result) {
			if r.Status != transfer.Copied {
				return
			}
			copied++
			fmt.Println(r.Key)
			if fmt.Sprint(copied) == os.Getenv(envMigrateStop) {
				_, _ = io.Copy(io.Discard, os.Stdin) // while the others continue
			}
		}})
		if err != nil {
			return err
		}
		return journal.Close(ctx)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func openBoth(ctx context.Context) (journal *sqlaudit.Journal, src, dst *blobstore.Store, err error) {
	if journal, err = sqlaudit.Open(ctx, os.Getenv(envMigrateTrail), nil); err != nil {
		return nil, nil, nil, err
	}
	if src, err = blobstore.Open(ctx, os.Getenv(envMigrateFrom), journal, nil); err != nil {
		return nil, nil, nil, err
	}
	dst, err = blobstore.Open(ctx, os.Getenv(envMigrateTo), journal, nil)
	return journal, src, dst, err
}

// TestMigrate runs at full size with this command:
//
//	go test . -run TestMigrate -migrate-files 10000 -migrate-large 52428800 -timeout 60m -v
func TestMigrate(t *testing.T) {
	service := VersityGW(t)
	t.Setenv("AWS_ACCESS_KEY_ID", service.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", service.SecretKey)
	dir := t.TempDir()
	t.Setenv(envMigrateTrail, "sqlite:"+filepath.Join(dir, "trail.db"))
	t.Setenv(envMigrateFrom, "local://"+filepath.Join(dir, "files")+"?create=true")
	t.Setenv(envMigrateTo, "s3://"+bucketName()+"?create=true&region=us-east-1&use_path_style=true&stale_after=600ms&endpoint="+service.Endpoint)

	sums := writeFiles(t, filepath.Join(dir, "files"))
	exe, err := os.Executable()
	require.NoError(t, err)
	began, killed := time.Now(), 0
	for done := false; !done; {
		cmd := exec.Command(exe)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		stop := len(sums) / (*migrateKills + 2)
		if killed < *migrateKills {
			cmd.Env = append(os.Environ(), fmt.Sprint(envMigrateStop, "=", stop))
		}
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		copied := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if copied++; killed < *migrateKills && copied == stop {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		_ = in.Close() // a killed process has closed it
		err = cmd.Wait()
		leasesEnd(t, filepath.Join(dir, "trail.db"))
		if killed < *migrateKills {
			require.Error(t, err, "it ended before it was killed")
			killed++
		} else {
			require.NoError(t, err)
			done = true
		}
	}
	took := time.Since(began)

	// Every object exists once, and the trail records each.
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "inspector"})
	journal, src, dst, err := openBoth(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, journal.Close(context.WithoutCancel(ctx))) }()
	defer func() {
		assert.NoError(t, src.Close(context.Background()))
		assert.NoError(t, dst.Close(context.Background()))
	}()
	require.Eventually(t, func() bool {
		_, err := dst.Reconcile(ctx)
		if err != nil {
			return false
		}
		open, err := journal.OpenIntents(ctx)
		return err == nil && open == 0
	}, time.Minute, 100*time.Millisecond, "what the killed ones left is settled")
	settled := map[string]int{}
	for e, err := range journal.Entries(ctx, audit.Query{Actions: []audit.Action{audit.ActionUpload}, Outcomes: []audit.Outcome{audit.OutcomeOK}}) {
		require.NoError(t, err)
		settled[e.Key]++
	}
	found, size := 0, int64(0)
	for scrubbed, err := range dst.Scrub(ctx, &blobstore.ScrubOptions{Trail: journal}) {
		require.NoError(t, err)
		require.NoError(t, scrubbed.Err)
		obj := scrubbed.Object
		require.Equal(t, sums[obj.Key], fmt.Sprintf("%x", obj.SHA256), obj.Key)
		require.Equal(t, 1, settled[obj.Key], "entries of %s", obj.Key)
		found, size = found+1, size+obj.Size
	}
	require.Len(t, sums, found)
	require.Len(t, settled, found)
	t.Logf("%d files, %d MiB, killed %d times, %v: all there once, whole, and in the trail", found, size>>20, killed, took.Round(time.Millisecond))
}

// leasesEnd makes the leases of dead processes expire.
func leasesEnd(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "UPDATE file_access_intents SET lease_until = 0")
	require.NoError(t, errors.Join(err, db.Close()))
}

// writeFiles writes files like another program, and returns their digests.
func writeFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := make(map[string]string, *migrateFiles)
	rnd := rand.NewChaCha8([32]byte{1})
	random := rand.New(rnd)
	for i := range *migrateFiles {
		size := int64(1 << 10)
		switch {
		case i == 0:
			size = *migrateLarge
		case i%100 == 0:
			size += random.Int64N(*migrateLarge)
		case i%10 == 0:
			size += random.Int64N(256 << 10)
		}
		content := make([]byte, size)
		_, _ = rnd.Read(content) // never fails
		key := fmt.Sprintf("%03d/file-%05d.bin", i/100, i)
		file := filepath.Join(dir, filepath.FromSlash(key))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, content, 0o600))
		sums[key] = fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return sums
}
