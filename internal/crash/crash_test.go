//go:build unix

package crash

// The parent: it starts children, kills them, reconciles what they leave, and
// checks that nothing is unrecorded, lost, dangling or doubled.

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

var (
	kills        = flag.Int("kills", 8, "kills at random moments")
	killsAtPoint = flag.Int("kills-at-point", 2, "kills at each named point")
)

// setup is where a child and its parent work.
type setup struct {
	bucketURL string
	dsn       string
	overwrite bool // whether the driver replaces objects atomically
}

func (s setup) journal(ctx context.Context) (*sqlaudit.Journal, error) {
	return sqlaudit.Open(ctx, s.dsn, nil)
}

const (
	envBucket   = "CRASH_CHILD_BUCKET"
	envDSN      = "CRASH_CHILD_DSN"
	envPoint    = "CRASH_CHILD_POINT"
	envPassages = "CRASH_CHILD_PASSAGES"
	envLate     = "CRASH_CHILD_LATE"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(envBucket); url != "" {
		passages, _ := strconv.ParseInt(os.Getenv(envPassages), 10, 64)
		s := setup{bucketURL: url, dsn: os.Getenv(envDSN), overwrite: strings.HasPrefix(url, "local:")}
		child(s, point(os.Getenv(envPoint)), passages, os.Getenv(envLate) != "")
	}
	os.Exit(m.Run())
}

// newSetup makes an empty folder and an empty database, the latter by the
// function that database returns.
func newSetup(t *testing.T, scheme string, database func() string) setup {
	t.Helper()
	return setup{
		bucketURL: scheme + "://" + filepath.Join(t.TempDir(), "files") + "?create=true",
		dsn:       database(),
		overwrite: scheme == "local",
	}
}

// databases makes the function that makes databases of a kind. A server is
// started once and waits for its disk, as in production.
func databases(t *testing.T, kind string) func() string {
	t.Helper()
	var server *testdb.Server
	switch kind {
	case "postgres":
		server = testdb.OwnPostgres(t)
	case "mariadb":
		server = testdb.OwnMariaDB(t)
	default:
		return func() string { return "sqlite:" + filepath.Join(t.TempDir(), "trail.db") }
	}
	return func() string { return server.New(t) }
}

// acknowledged is what the children reported over all their lives.
type acknowledged struct {
	objects   map[string]string // key -> SHA-256, or "" where the content is not known here
	deleted   map[string]bool
	inDoubt   map[string]bool // an operation on it was under way when its process died
	links     map[string]bool // grant ids
	downloads map[string]int
	total     int
}

func newAcknowledged() *acknowledged {
	return &acknowledged{
		objects: map[string]string{}, deleted: map[string]bool{}, inDoubt: map[string]bool{},
		links: map[string]bool{}, downloads: map[string]int{},
	}
}

// read takes in what one child wrote.
func (a *acknowledged) read(t *testing.T, lines []string) {
	for _, line := range lines {
		f := strings.Fields(line)
		a.total++
		switch f[0] {
		case "ready":
			a.total--
		case "try":
			a.inDoubt[f[1]] = true
		case "upload":
			a.objects[f[1]] = f[2]
			delete(a.inDoubt, f[1])
		case "exists":
			a.objects[f[1]] = ""
		case "delete":
			delete(a.objects, f[1])
			delete(a.inDoubt, f[1])
			a.deleted[f[1]] = true
		case "link":
			a.links[f[2]] = true
		case "download":
			a.downloads[f[1]]++
		default:
			require.Fail(t, "the child failed", line)
		}
	}
}

// run starts a child and returns what it wrote until it was dead. With a point
// the child kills itself; without, it is killed after the delay.
func run(t *testing.T, s setup, at point, passages int, delay time.Duration, late bool) []string {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envBucket+"="+s.bucketURL, envDSN+"="+s.dsn, envPoint+"="+string(at), envPassages+"="+strconv.Itoa(passages))
	if late {
		cmd.Env = append(cmd.Env, envLate+"=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	// Whatever happens, no child outlives its test.
	watchdog := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()

	var lines []string
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break // an unfinished line was not acknowledged
		}
		lines = append(lines, strings.TrimSpace(line))
		if at == nowhere && len(lines) == 1 && lines[0] == "ready" {
			time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	if exit.Exited() {
		require.Fail(t, "the child ended by itself", "%v: %v", err, lines[max(0, len(lines)-1):])
	}
	return lines
}

// reconcile settles what dead children left, as a program does that starts anew
// after their leases have run out.
func reconcile(t *testing.T, ctx context.Context, s setup) blobstore.Reconciled {
	t.Helper()
	db := testdb.Connect(t, s.dsn)
	awaitGone(t, db)
	_, err := db.ExecContext(ctx, "UPDATE file_access_intents SET lease_until = 0")
	require.NoError(t, err)

	journal, store := s.open(t, ctx)
	n, err := store.Reconcile(ctx)
	require.NoError(t, err)
	open, err := journal.OpenIntents(ctx)
	require.NoError(t, err)
	require.Zero(t, open, "intents stay open")
	return n
}

// awaitGone returns when the database server has noticed that its clients are
// dead, and is done with what they had sent.
func awaitGone(t *testing.T, db *sqlx.DB) {
	t.Helper()
	clients := map[string]string{
		"pgx":   "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
		"mysql": "SELECT count(*) FROM information_schema.processlist WHERE id <> connection_id() AND command <> 'Daemon'",
	}[db.DriverName()]
	if clients == "" {
		return // no server
	}
	require.Eventually(t, func() bool {
		var n int
		err := db.Get(&n, clients)
		return err == nil && n == 0
	}, 30*time.Second, 5*time.Millisecond, "the dead child's connections stay open")
}

// open opens journal and store until the end of the test.
func (s setup) open(t *testing.T, ctx context.Context) (*sqlaudit.Journal, *blobstore.Store) {
	t.Helper()
	journal, err := s.journal(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, journal.Close(context.WithoutCancel(ctx))) })
	store, err := blobstore.Open(ctx, s.bucketURL, journal, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return journal, store
}

// violations are what the library promises never to happen.
type violations struct{ unrecorded, lost, dangling, doubled, leftover []string }

func (v violations) count() int {
	return len(v.unrecorded) + len(v.lost) + len(v.dangling) + len(v.doubled) + len(v.leftover)
}

func (v violations) String() string {
	show := func(name string, l []string) string {
		if len(l) == 0 {
			return "0 " + name
		}
		return fmt.Sprintf("%d %s (such as %q)", len(l), name, l[0])
	}
	return strings.Join([]string{
		show("unrecorded", v.unrecorded), show("lost", v.lost), show("dangling", v.dangling),
		show("doubled", v.doubled), show("left over", v.leftover),
	}, ", ")
}

// inspect compares the folder, the trail and what was acknowledged.
func inspect(t *testing.T, ctx context.Context, s setup, a *acknowledged) (v violations) {
	t.Helper()
	journal, store := s.open(t, ctx)

	// What the trail says.
	wrote := map[string]string{}   // op -> key, of operations that left an object
	current := map[string]string{} // key -> op that wrote it last; "" after its deletion
	unknown := map[string]bool{}   // keys with an outcome that could not be found out
	grants := map[string]bool{}
	downloads := map[string]int{}
	finals := map[string]int{}
	for e, err := range journal.Entries(ctx, audit.Query{}) {
		require.NoError(t, err)
		finals[e.OpID]++
		if finals[e.OpID] == 2 {
			v.doubled = append(v.doubled, fmt.Sprintf("%s %s", e.Action, e.Key))
		}
		if e.Outcome == audit.OutcomeUnknown {
			unknown[e.Key] = true
		}
		if e.Outcome != audit.OutcomeOK {
			continue
		}
		switch e.Action {
		case audit.ActionUpload, audit.ActionCopy, audit.ActionMove:
			wrote[e.OpID], current[e.Key] = e.Key, e.OpID
		case audit.ActionDelete:
			current[e.Key] = ""
		case audit.ActionGenerateURL:
			grants[e.GrantID] = true
		case audit.ActionDownload:
			downloads[e.Key]++
		}
	}
	open, err := journal.OpenIntents(ctx)
	require.NoError(t, err)
	if open > 0 {
		v.dangling = append(v.dangling, strconv.Itoa(open))
	}

	// Every object has its record, and everything recorded is there.
	present := map[string]bool{}
	for item, err := range store.List(ctxAs(ctx), nil) {
		require.NoError(t, err)
		present[item.Key] = true
		obj, err := store.Stat(ctxAs(ctx), item.Key)
		if err != nil {
			v.leftover = append(v.leftover, item.Key)
			continue
		}
		if wrote[obj.OpID] != item.Key || current[item.Key] != obj.OpID {
			v.unrecorded = append(v.unrecorded, "object "+item.Key)
		}
	}
	for key, op := range current {
		if op != "" && !present[key] && !unknown[key] {
			v.unrecorded = append(v.unrecorded, "deletion of "+key)
		}
	}

	// Everything acknowledged is in the trail and in the folder.
	for key, sum := range a.objects {
		switch {
		case a.inDoubt[key]:
		case !present[key]:
			v.lost = append(v.lost, "object "+key)
		case current[key] == "":
			v.lost = append(v.lost, "entry of "+key)
		case sum != "":
			if got := contentSum(t, s, key); got != sum {
				v.lost = append(v.lost, "content of "+key)
			}
		}
	}
	for key := range a.deleted {
		if present[key] || current[key] != "" {
			v.lost = append(v.lost, "deletion of "+key)
		}
	}
	for grant := range a.links {
		if !grants[grant] {
			v.lost = append(v.lost, "link "+grant)
		}
	}
	for key, n := range a.downloads {
		if downloads[key] < n {
			v.lost = append(v.lost, "download of "+key)
		}
	}

	// Nothing else lies in the folder.
	root, err := folder(s.bucketURL)
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/.blobtrail/lock") {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if key := strings.TrimSuffix(filepath.ToSlash(rel), ".attrs"); !present[key] {
			v.leftover = append(v.leftover, rel)
		}
		return err
	}))
	return v
}

func folder(url string) (string, error) {
	_, path, ok := strings.Cut(url, "://")
	if !ok {
		return "", errors.New("no scheme")
	}
	path, _, _ = strings.Cut(path, "?")
	return path, nil
}

func ctxAs(ctx context.Context) context.Context {
	return audit.WithActor(ctx, audit.Actor{UserID: "inspector"})
}

// contentSum reads the file itself, so that the inspection leaves no download in
// the trail that it inspects.
func contentSum(t *testing.T, s setup, key string) string {
	root, err := folder(s.bucketURL)
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(key)))
	require.NoError(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

// killsInFolder is how many kills in a row hit the same folder and database,
// which are looked through after each.
const killsInFolder = 25

func TestKill(t *testing.T) {
	for _, on := range []struct{ scheme, database string }{
		{"local", "sqlite"}, {"file", "sqlite"}, {"local", "postgres"}, {"local", "mariadb"},
	} {
		t.Run(on.scheme+" "+on.database, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			database := databases(t, on.database)
			var (
				s       setup
				a       *acknowledged
				settled blobstore.Reconciled
				n, acks int
			)
			kill := func(at point, passages int, delay time.Duration) {
				if n%killsInFolder == 0 {
					s, a = newSetup(t, on.scheme, database), newAcknowledged()
				}
				before := a.total
				a.read(t, run(t, s, at, passages, delay, false))
				n++
				acks += a.total - before
				// A test of its own for each, so that what it opens is closed.
				t.Run(strconv.Itoa(n), func(t *testing.T) {
					r := reconcile(t, ctx, s)
					settled.OK, settled.Failed, settled.Unknown = settled.OK+r.OK, settled.Failed+r.Failed, settled.Unknown+r.Unknown
					v := inspect(t, ctx, s, a)
					require.Zero(t, v.count(), "killed %s: %s", cmp.Or(string(at), "at random"), v)
				})
				if t.Failed() {
					t.FailNow()
				}
			}
			for range *kills {
				kill(nowhere, 0, time.Duration(rand.Int64N(int64(300*time.Millisecond))))
			}
			for _, at := range points {
				for range *killsAtPoint {
					kill(at, 1+rand.IntN(20), 0)
				}
			}
			t.Logf("%s and %s: %d kills, %d acknowledged operations: 0 unrecorded, 0 lost, 0 dangling, 0 doubled, 0 left over; "+
				"the reconciler settled %d ok, %d failed, %d unknown", on.scheme, on.database, n, acks, settled.OK, settled.Failed, settled.Unknown)
		})
	}
}

// TestKillFindsLateRecording shows that the harness can fail: the same kills on
// a journal that records after the effect must leave violations.
func TestKillFindsLateRecording(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, a := newSetup(t, "local", databases(t, "sqlite")), newAcknowledged()
	for _, at := range []point{afterWrite, midMove, afterDelete, beforeSettle} {
		a.read(t, run(t, s, at, 5, 0, true))
		reconcile(t, ctx, s)
	}
	v := inspect(t, ctx, s, a)
	require.NotEmpty(t, v.unrecorded, "recording late went unnoticed")
	t.Logf("recording after the effect, 4 kills: %s", v)
}
