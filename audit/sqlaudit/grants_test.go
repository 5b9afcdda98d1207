package sqlaudit_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/blobstore/storetest"
	"github.com/blobtrail/blobtrail/signurl"
)

func TestGrants(t *testing.T) { onEach(t, testGrants) }

func testGrants(t *testing.T, s *system) {
	dsn := s.dsn(t)
	storetest.RunGrants(t, func(tb testing.TB) signurl.Grants {
		j, _ := openDSN(tb, dsn, nil)
		return j.Grants()
	})
}

const grantProcesses, grantUses = 4, 250

// childGrants is a process of TestGrantsOfFourProcesses. On a signal, it uses a
// link's grant many times concurrently and prints the results.
func childGrants(dsn string) int {
	fail := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }
	ctx := context.Background()
	j, err := sqlaudit.Open(ctx, dsn, &sqlaudit.Options{Logger: quiet, Timeout: time.Minute})
	if err != nil {
		return fail(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for lines.Scan() {
		var id string
		var limit int
		if _, err := fmt.Sscan(lines.Text(), &id, &limit); err != nil {
			return fail(err)
		}
		var passed atomic.Int64
		var other atomic.Pointer[error]
		var wg sync.WaitGroup
		for range grantUses {
			wg.Go(func() {
				err := j.Grants().Use(ctx, id, limit, time.Now().Add(time.Hour))
				if err == nil {
					passed.Add(1)
				} else if !errors.Is(err, signurl.ErrRevoked) {
					other.Store(&err)
				}
			})
		}
		wg.Wait()
		if err := other.Load(); err != nil {
			return fail(*err)
		}
		fmt.Println(passed.Load())
	}
	if err := j.Close(ctx); err != nil {
		return fail(err)
	}
	return 0
}

// Four processes use links 1,000 times concurrently. Exactly as many uses
// succeed as each link allows.
func TestGrantsOfFourProcesses(t *testing.T) { onEach(t, testGrantsOfFourProcesses) }

func testGrantsOfFourProcesses(t *testing.T, s *system) {
	dsn := s.dsn(t)
	openDSN(t, dsn, nil)
	type child struct {
		in  io.WriteCloser
		out *bufio.Scanner
	}
	var children []child
	for range grantProcesses {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "SQLAUDIT_TEST_GRANTS="+dsn)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		c := child{in, bufio.NewScanner(out)}
		defer func() {
			in.Close()
			assert.NoError(t, cmd.Wait())
			assert.Empty(t, stderr.String())
		}()
		require.True(t, c.out.Scan())
		children = append(children, c)
	}
	for _, limit := range []int{1, 1, 1, 7, 100} {
		id := signurl.NewGrantID()
		for _, c := range children {
			_, err := fmt.Fprintln(c.in, id, limit)
			require.NoError(t, err)
		}
		passed := 0
		for _, c := range children {
			require.True(t, c.out.Scan())
			var n int
			_, err := fmt.Sscan(c.out.Text(), &n)
			require.NoError(t, err)
			passed += n
		}
		t.Logf("%d processes with %d uses each of a link that allows %d: %d passed", grantProcesses, grantUses, limit, passed)
		assert.Equal(t, limit, passed)
	}
}

func TestGrantsAreSwept(t *testing.T) { onEach(t, testGrantsAreSwept) }

func testGrantsAreSwept(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	g := j.Grants()
	for i := range 1001 { // more than one statement removes
		require.NoError(t, g.Revoke(t.Context(), fmt.Sprint("old", i), time.Now().Add(-time.Hour-time.Minute)))
	}
	require.NoError(t, g.Use(t.Context(), "recent", 1, time.Now().Add(-50*time.Minute)))
	require.NoError(t, g.Use(t.Context(), "alive", 1, time.Now().Add(time.Hour)))
	// A revocation may have a later expiry than the use.
	require.NoError(t, g.Use(t.Context(), "longer", 1, time.Now().Add(-2*time.Hour)))
	require.NoError(t, g.Revoke(t.Context(), "longer", time.Now().Add(time.Hour)))
	// A grant that is too young by less than a second does not delay the
	// others.
	require.NoError(t, g.Use(t.Context(), "just over", 1, time.Now().Add(-time.Hour)))
	theClockMovesOn()
	require.NoError(t, sqlaudit.SweepGrants(j))
	assert.Equal(t, 3, db.count(t, "file_access_grants WHERE grant_id <> 'just over'"))
	for _, id := range []string{"recent", "alive", "longer"} {
		require.ErrorIs(t, g.Use(t.Context(), id, 1, time.Now()), signurl.ErrRevoked, id)
	}
}

func TestGrantsOnlyGrow(t *testing.T) { onEach(t, testGrantsOnlyGrow) }

func testGrantsOnlyGrow(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	g, end := j.Grants(), time.Now().Add(time.Hour)
	require.NoError(t, g.Use(t.Context(), "a", 1, end))
	require.NoError(t, g.Revoke(t.Context(), "a", end))
	for _, statement := range []string{
		"UPDATE file_access_grants SET used = 0", "UPDATE file_access_grants SET revoked = 0",
		"UPDATE file_access_grants SET expires_at = expires_at - 1", "UPDATE file_access_grants SET grant_id = 'b'",
		"DELETE FROM file_access_grants",
	} {
		_, err := db.Exec(statement)
		require.ErrorContains(t, err, "only grows", statement)
	}
	require.ErrorIs(t, g.Use(t.Context(), "a", 5, end), signurl.ErrRevoked)
}

func TestInvalidGrants(t *testing.T) { onEach(t, testGrantsThatCantBe) }

func testGrantsThatCantBe(t *testing.T, s *system) {
	j, db := s.open(t, nil)
	g, end := j.Grants(), time.Now().Add(time.Hour)
	for _, id := range []string{"", strings.Repeat("x", 65)} {
		require.ErrorContains(t, g.Use(t.Context(), id, 0, end), "want 1 to 64")
		require.ErrorContains(t, g.Revoke(t.Context(), id, end), "want 1 to 64")
	}
	require.NoError(t, j.Close(t.Context()))
	require.ErrorIs(t, g.Use(t.Context(), "a", 0, end), audit.ErrClosed)
	require.ErrorIs(t, g.Revoke(t.Context(), "a", end), audit.ErrClosed)
	assert.Zero(t, db.count(t, "file_access_grants"))
}

// If the database does not respond, Use fails.
func TestGrantsOfAHungDatabase(t *testing.T) {
	j, db := sqliteSystem.open(t, &sqlaudit.Options{Timeout: 100 * time.Millisecond})
	release := db.block(t)
	err := j.Grants().Use(t.Context(), "a", 1, time.Now().Add(time.Hour))
	require.Error(t, err)
	require.NotErrorIs(t, err, signurl.ErrRevoked)
	require.Error(t, j.Grants().Revoke(t.Context(), "a", time.Now().Add(time.Hour)))
	release()
	wait(t, "it goes on", func() bool {
		err := j.Grants().Use(context.Background(), "b", 1<<30, time.Now().Add(time.Hour)) // a failed use may count
		return err == nil
	})
}

// This test uses the handler for one-time links like an application.
func TestGrantsBehindLinks(t *testing.T) {
	j, _ := sqliteSystem.open(t, nil)
	signer, err := signurl.New("https://files.example.com/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(t, err)
	store, err := blobstore.New(memstore.New(), j, &blobstore.Options{Signer: signer}) // with the grants of j
	require.NoError(t, err)
	defer store.Close(context.Background())
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	obj, err := store.Upload(ctx, "a", strings.NewReader("content"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{MaxUses: 1}})
	require.NoError(t, err)
	handler := blobhttp.Links(store, nil)
	var served, gone atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, obj.Link.URL(), nil))
			switch w.Code {
			case http.StatusOK:
				served.Add(1)
			case http.StatusGone:
				gone.Add(1)
			default:
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, served.Load())
	assert.EqualValues(t, 99, gone.Load())
}
