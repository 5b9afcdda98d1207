//go:build unix

package crash

// The parent: it starts children, kills them, and has what they leave
// reconciled and inspected.

import (
	"bufio"
	"cmp"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

// Site is where children and their parent work: a bucket and a database, both
// empty at first, and used by nobody else.
type Site struct {
	BucketURL string // opened with the environment's credentials
	DSN       string // of the trail
	Overwrite bool   // whether to replace objects: the driver does so atomically

	// Quiet returns when nothing that a dead child began still goes on in the
	// service, and what it left can be told from the work of the living. Nil:
	// the service is gone with the child.
	Quiet func(t *testing.T)
	// Strays names what lies in the bucket beside the objects and what belongs
	// to them.
	Strays func(t *testing.T, objects map[string]bool) []string
}

func (s Site) journal(ctx context.Context) (*sqlaudit.Journal, error) {
	return sqlaudit.Open(ctx, s.DSN, nil)
}

const (
	envBucket    = "CRASH_CHILD_BUCKET"
	envDSN       = "CRASH_CHILD_DSN"
	envOverwrite = "CRASH_CHILD_OVERWRITE"
	envPoint     = "CRASH_CHILD_POINT"
	envPassages  = "CRASH_CHILD_PASSAGES"
	envLate      = "CRASH_CHILD_LATE"
	envSoak      = "CRASH_CHILD_SOAK" // the number of callers
)

// Child does not return in a process that was started to be killed. Call it
// first in TestMain; the package must import the provider of its sites.
func Child() {
	if url := os.Getenv(envBucket); url != "" {
		passages, _ := strconv.ParseInt(os.Getenv(envPassages), 10, 64)
		s := Site{BucketURL: url, DSN: os.Getenv(envDSN), Overwrite: os.Getenv(envOverwrite) == "true"}
		if callers, err := strconv.Atoi(os.Getenv(envSoak)); err == nil {
			soakChild(s, callers)
		}
		child(s, point(os.Getenv(envPoint)), passages, os.Getenv(envLate) != "")
	}
}

// perSite is how many kills in a row hit the same bucket and database, which
// are looked through after each.
const perSite = 25

// Kill kills children, so many at random moments and so many at each point, and
// fails the test if any of them leaves what may not be. newSite makes a site of
// its own for every 25 of them.
func Kill(t *testing.T, newSite func() Site, random, atPoint int) {
	var (
		s       Site
		a       *acknowledged
		settled blobstore.Reconciled
		n, acks int
	)
	kill := func(at point, passages int, delay time.Duration) {
		if n%perSite == 0 {
			s, a = newSite(), newAcknowledged()
		}
		before := a.total
		a.read(t, run(t, s, at, passages, delay, false))
		n++
		acks += a.total - before
		// A test of its own for each, so that what it opens is closed.
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			r := reconcile(t, s)
			settled.OK, settled.Failed, settled.Unknown = settled.OK+r.OK, settled.Failed+r.Failed, settled.Unknown+r.Unknown
			v := inspect(t, s, a)
			require.Zero(t, v.count(), "killed %s: %s", cmp.Or(string(at), "at random"), v)
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	for range random {
		kill(nowhere, 0, time.Duration(rand.Int64N(int64(300*time.Millisecond))))
	}
	for _, at := range points {
		for range atPoint {
			kill(at, 1+rand.IntN(20), 0)
		}
	}
	t.Logf("%d kills, %d acknowledged operations: 0 unrecorded, 0 lost, 0 dangling, 0 doubled, 0 left over; "+
		"the reconciler settled %d ok, %d failed, %d unknown", n, acks, settled.OK, settled.Failed, settled.Unknown)
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
func run(t *testing.T, s Site, at point, passages int, delay time.Duration, late bool) []string {
	env := []string{envPoint + "=" + string(at), envPassages + "=" + strconv.Itoa(passages)}
	if late {
		env = append(env, envLate+"=1")
	}
	cmd := s.command(t, env...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	// Whatever happens, no child outlives its test.
	watchdog := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
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

// command is a child that works on the site.
func (s Site) command(t *testing.T, env ...string) *exec.Cmd {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envBucket+"="+s.BucketURL, envDSN+"="+s.DSN, envOverwrite+"="+strconv.FormatBool(s.Overwrite))
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// reconcile settles what dead children left, as a program does that starts anew
// after their leases have run out.
func reconcile(t *testing.T, s Site) blobstore.Reconciled {
	t.Helper()
	ctx := t.Context()
	db := testdb.Connect(t, s.DSN)
	awaitGone(t, db)
	if s.Quiet != nil {
		s.Quiet(t)
	}
	_, err := db.ExecContext(ctx, "UPDATE file_access_intents SET lease_until = 0")
	require.NoError(t, err)

	journal, store := s.open(t)
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
func (s Site) open(t *testing.T) (*sqlaudit.Journal, *blobstore.Store) {
	t.Helper()
	ctx := t.Context()
	journal, err := s.journal(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, journal.Close(context.WithoutCancel(ctx))) })
	store, err := blobstore.Open(ctx, s.BucketURL, journal, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.WithoutCancel(ctx))) })
	return journal, store
}
