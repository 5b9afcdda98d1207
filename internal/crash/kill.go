//go:build unix

package crash

// This file implements the parent. It starts and kills children, reconciles
// their leftovers, and inspects the result.

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

// Site is the environment of the children and their parent: a bucket and a
// database, initially empty, and not used by anyone else.
type Site struct {
	BucketURL string // opened with the credentials of the environment
	DSN       string // the data source name of the trail
	Overwrite bool   // whether to replace objects: requires that the driver does it atomically

	// Quiet returns when the service has completed all operations of a dead
	// child, and leftovers can be distinguished from the work of running
	// processes. Nil means that the service ends with the child.
	Quiet func(t *testing.T)
	// Strays returns the names in the bucket that are neither objects nor
	// belong to objects.
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

// Child is the main function of a child process, and does not return there. In
// other processes, it does nothing. Call it first in TestMain. The package must
// import the provider of its sites.
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

// perSite is the number of consecutive kills with the same bucket and database.
// An inspection follows each of them.
const perSite = 25

// Kill kills children at random moments and at each point, and fails the test
// if any of them leaves a violation. random and atPoint are the numbers of
// kills. newSite makes a new site for every 25 of them.
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
		// Each kill is a subtest, so that everything it opens is closed.
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

// acknowledged contains the operations reported by all children.
type acknowledged struct {
	objects   map[string]string // key -> SHA-256, or "" if the content is unknown
	deleted   map[string]bool
	inDoubt   map[string]bool // the process died during an operation on the object
	links     map[string]bool // grant IDs
	downloads map[string]int
	total     int
}

func newAcknowledged() *acknowledged {
	return &acknowledged{
		objects: map[string]string{}, deleted: map[string]bool{}, inDoubt: map[string]bool{},
		links: map[string]bool{}, downloads: map[string]int{},
	}
}

// read adds the output of one child.
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

// run starts a child and returns its output until its death. If at is set, the
// child kills itself there. Otherwise, run kills it after the delay.
func run(t *testing.T, s Site, at point, passages int, delay time.Duration, late bool) []string {
	env := []string{envPoint + "=" + string(at), envPassages + "=" + strconv.Itoa(passages)}
	if late {
		env = append(env, envLate+"=1")
	}
	cmd := s.command(t, env...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	// No child may outlive its test.
	watchdog := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()

	var lines []string
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break // an unfinished line is not acknowledged
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
		require.Fail(t, "the child ended without being killed", "%v: %v", err, lines[max(0, len(lines)-1):])
	}
	return lines
}

// command returns a command that starts a child on the site.
func (s Site) command(t *testing.T, env ...string) *exec.Cmd {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envBucket+"="+s.BucketURL, envDSN+"="+s.DSN, envOverwrite+"="+strconv.FormatBool(s.Overwrite))
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// reconcile settles the operations of dead children, like a program that starts
// after their leases have expired.
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

// awaitGone waits until the database server has detected that its clients are
// dead, and has completed their statements.
func awaitGone(t *testing.T, db *sqlx.DB) {
	t.Helper()
	clients := map[string]string{
		"pgx":   "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
		"mysql": "SELECT count(*) FROM information_schema.processlist WHERE id <> connection_id() AND command <> 'Daemon'",
	}[db.DriverName()]
	if clients == "" {
		return // SQLite has no server
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
