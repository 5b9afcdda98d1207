//go:build unix

package blobhttp_test

// This file tests a service of several processes with a common folder, database
// and signing key. The client sends requests to all of them.

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/internal/testdb"
	"github.com/blobtrail/blobtrail/signurl"
)

const (
	processes  = 4
	linkPrefix = "http://files.test/files/" // prefix of the links, for all processes
)

var linkUses = flag.Int("link-uses", 1000, "how often TestOneTimeLinkInProcesses uses its link")

// childEnv is the variable with the signing key of a child process. It is not
// set in the test process.
const childEnv = "BLOBTRAIL_LINKS_CHILD"

func TestMain(m *testing.M) {
	if key := os.Getenv(childEnv); key != "" {
		if err := serveLinks(key, os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	testdb.Stop()
	os.Exit(code)
}

// openShared opens the shared journal and store. The caller closes both.
func openShared(ctx context.Context, key, dsn, dir string) (*sqlaudit.Journal, *blobstore.Store, error) {
	keys, err := signurl.ParseKeys(key)
	if err != nil {
		return nil, nil, err
	}
	signer, err := signurl.New(linkPrefix, keys, nil)
	if err != nil {
		return nil, nil, err
	}
	journal, err := sqlaudit.Open(ctx, dsn, nil)
	if err != nil {
		return nil, nil, err
	}
	store, err := blobstore.Open(ctx, "local://"+dir, journal, &blobstore.Options{Signer: signer})
	return journal, store, err
}

// serveLinks serves until standard input ends.
func serveLinks(key, dsn, dir string) error {
	ctx := context.Background()
	journal, store, err := openShared(ctx, key, dsn, dir)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/files/", blobhttp.Links(store, nil))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }() // returns after Shutdown
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := srv.Shutdown(ctx); err != nil {
		return err
	}
	if err := store.Close(context.Background()); err != nil {
		return err
	}
	return journal.Close(ctx)
}

// TestOneTimeLinkInProcesses checks that exactly one of many concurrent uses in
// several processes succeeds, and that all processes refuse a revoked link at
// once.
func TestOneTimeLinkInProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts eight processes and a database")
	}
	t.Run("SQLite", func(t *testing.T) { oneTimeLinkInProcesses(t, "sqlite:"+t.TempDir()+"/trail.db") })
	t.Run("PostgreSQL", func(t *testing.T) { oneTimeLinkInProcesses(t, testdb.Postgres(t).New(t)) })
}

func oneTimeLinkInProcesses(t *testing.T, dsn string) {
	dir, key := t.TempDir(), signurl.GenerateKey().Encode()
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "alice"})
	journal, store, err := openShared(ctx, key, dsn, dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, journal.Close(context.Background())) }()
	defer func() { require.NoError(t, store.Close(context.Background())) }()
	_, err = store.Upload(ctx, "a", strings.NewReader(digits), nil)
	require.NoError(t, err)
	link, err := store.Link(ctx, "a", &blobstore.LinkOptions{MaxUses: 1})
	require.NoError(t, err)

	var addrs [processes]string
	for i := range addrs {
		cmd := exec.Command(os.Args[0], dsn, dir)
		cmd.Env, cmd.Stderr = append(os.Environ(), childEnv+"="+key), os.Stderr
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			assert.NoError(t, in.Close())
			assert.NoError(t, cmd.Wait())
		})
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		addrs[i] = "http://" + strings.TrimSpace(line)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50, MaxConnsPerHost: 50}}
	defer client.CloseIdleConnections()
	get := func(process int, link string) (int, string, error) {
		res, err := client.Get(strings.Replace(link, "http://files.test", addrs[process], 1))
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return res.StatusCode, string(body), err
	}

	var served, refused atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range *linkUses {
		wg.Go(func() {
			<-start
			switch status, body, err := get(i%processes, link.URL()); {
			case err != nil:
				t.Error(err)
			case status == 200 && body == digits:
				served.Add(1)
			case status == 410:
				refused.Add(1)
			default:
				t.Errorf("status %d: %s", status, body)
			}
		})
	}
	close(start)
	wg.Wait()
	t.Logf("%d uses in %d processes: %d passed, %d were refused", *linkUses, processes, served.Load(), refused.Load())
	assert.EqualValues(t, 1, served.Load())
	assert.EqualValues(t, *linkUses-1, refused.Load())
	outcomes := map[audit.Outcome]int{}
	for e, err := range journal.Entries(ctx, audit.Query{GrantID: link.GrantID, Actions: []audit.Action{audit.ActionRedeem}}) {
		require.NoError(t, err)
		outcomes[e.Outcome]++
	}
	assert.Equal(t, map[audit.Outcome]int{audit.OutcomeOK: 1, audit.OutcomeDenied: *linkUses - 1}, outcomes, "each in the trail")

	gateway, err := store.Link(ctx, "a", &blobstore.LinkOptions{Revocable: true})
	require.NoError(t, err)
	for i, want := range []int{200, 410} {
		for process := range processes {
			status, _, err := get(process, gateway.URL())
			require.NoError(t, err)
			assert.Equal(t, want, status)
		}
		if i == 0 {
			require.NoError(t, store.Revoke(ctx, "a", gateway.GrantID))
		}
	}
}
