package sqlaudit_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("SQLAUDIT_TEST_WRITER"); path != "" {
		os.Exit(childWriter(path))
	}
	if dsn := os.Getenv("SQLAUDIT_TEST_GRANTS"); dsn != "" {
		os.Exit(childGrants(dsn))
	}
	flag.Parse()
	if testing.Short() {
		for name, count := range map[string]string{"sqlaudit.events": "300", "attacks": "1", "honest": "800"} {
			if f := flag.Lookup(name); f.Value.String() == f.DefValue {
				_ = f.Value.Set(count)
			}
		}
	}
	code := m.Run()
	testdb.Stop()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func event(key string) audit.Event {
	return audit.Event{
		Action: audit.ActionUpload, Key: key, Backend: "local", Bucket: "files",
		Actor:    audit.Actor{UserID: "u-1", TenantID: "acme", IP: "192.0.2.7", UserAgent: "curl/8", RequestID: "r-1"},
		Resource: audit.Resource{Type: "invoice", ID: "42"},
	}
}

func entries(t testing.TB, r audit.Reader, q audit.Query) []audit.Entry {
	t.Helper()
	var out []audit.Entry
	for e, err := range r.Entries(context.Background(), q) {
		require.NoError(t, err)
		out = append(out, e)
	}
	return out
}

func keys(entries []audit.Entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Key)
	}
	return out
}

// requireWholeStreams checks that each writer's entries are numbered from 0
// without gaps, and that their IDs ascend with seq.
func requireWholeStreams(t testing.TB, entries []audit.Entry) {
	t.Helper()
	streams := make(map[string][]audit.Entry)
	for _, e := range entries {
		streams[e.WriterID] = append(streams[e.WriterID], e)
	}
	for writer, list := range streams {
		require.True(t, slices.IsSortedFunc(list, func(a, b audit.Entry) int { return int(a.Seq - b.Seq) }), "writer %s: order of ids", writer)
		for i, e := range list {
			require.EqualValues(t, i, e.Seq, "writer %s", writer)
		}
	}
}

// wait waits up to ten seconds for a condition.
func wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, time.Millisecond, what)
}

// refusing is a database that rejects connections.
type refusing struct{}

func (refusing) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("refused") }
func (refusing) Driver() driver.Driver                        { return nil }

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// theClockMovesOn returns in another millisecond, the resolution of IDs and
// months.
func theClockMovesOn() {
	for began := time.Now().UnixMilli(); time.Now().UnixMilli() <= began+1; {
		runtime.Gosched()
	}
}
