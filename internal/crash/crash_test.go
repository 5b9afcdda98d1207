//go:build unix

package crash

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

var (
	kills        = flag.Int("kills", 8, "kills at random moments")
	killsAtPoint = flag.Int("kills-at-point", 2, "kills at each named point")
	soak         = flag.Duration("soak", 4*time.Second, "how long to soak")
	soakKills    = flag.Duration("soak-kills", 2*time.Second, "the time between two kills of a soak")
)

func TestMain(m *testing.M) {
	Child()
	flag.Parse()
	if testing.Short() && *kills == 8 && *killsAtPoint == 2 {
		*kills, *killsAtPoint = 3, 1
	}
	os.Exit(m.Run())
}

// newSite creates an empty folder, and an empty database by calling database.
func newSite(t *testing.T, scheme string, database func() string) Site {
	t.Helper()
	root := filepath.Join(t.TempDir(), "files")
	return Site{
		BucketURL: scheme + "://" + root + "?create=true", DSN: database(), Overwrite: scheme == "local",
		Strays: func(t *testing.T, objects map[string]bool) []string { return strays(t, root, objects) },
	}
}

// strays returns the other files in the folder.
func strays(t *testing.T, root string, objects map[string]bool) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/.blobtrail/lock") {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if key := strings.TrimSuffix(filepath.ToSlash(rel), ".attrs"); !objects[key] {
			found = append(found, rel)
		}
		return err
	}))
	return found
}

// databases returns a function that creates databases of a kind. A server is
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

func TestKill(t *testing.T) {
	for _, on := range []struct{ scheme, database string }{
		{"local", "sqlite"}, {"file", "sqlite"}, {"local", "postgres"}, {"local", "mariadb"},
	} {
		t.Run(on.scheme+" "+on.database, func(t *testing.T) {
			t.Parallel()
			database := databases(t, on.database)
			Kill(t, func() Site { return newSite(t, on.scheme, database) }, *kills, *killsAtPoint)
		})
	}
}

func TestSoak(t *testing.T) {
	t.Parallel()
	Soak(t, newSite(t, "local", databases(t, "sqlite")), *soak, *soakKills, 64)
}

// TestKillFindsLateRecording shows that the harness can fail. The same kills on
// a journal that records after the effect must lead to violations.
func TestKillFindsLateRecording(t *testing.T) {
	t.Parallel()
	s, a := newSite(t, "local", databases(t, "sqlite")), newAcknowledged()
	for _, at := range []point{afterWrite, midMove, afterDelete, beforeSettle} {
		a.read(t, run(t, s, at, 5, 0, true))
		reconcile(t, s)
	}
	v := inspect(t, s, a)
	require.NotEmpty(t, v.unrecorded, "late recording was not detected")
	t.Logf("recording after the effect, 4 kills: %s", v)
}
