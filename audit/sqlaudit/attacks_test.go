package sqlaudit

// This file tests thirteen attacks by the owner of the database. The attacker
// can write to every table, has dropped every trigger, and recomputes every
// hash that needs no key. The attacker has no access to the keys of the
// processes or to the bucket.

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

var attackCount = flag.Int("attacks", 2, "how often each of the thirteen attacks is tried; in full, 200")

// scene is a trail to attack. It has two writers that have ended and one that
// was killed after its last checkpoint was published. The tables now_… contain
// a copy of the trail, and the tables older_… an older copy.
type scene struct {
	db               *sqlx.DB // the attacker's
	d                dialect
	bucket           *blob.Bucket
	key              string
	ended            []string
	killed           string
	total, published int64 // entries of the killed writer
}

var attackLogger = slog.New(slog.NewTextHandler(io.Discard, nil))

// onEachDatabase runs a test on a new, empty database of each kind.
func onEachDatabase(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Helper()
	for name, dsn := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "trail.db") },
		"postgres": func(t *testing.T) string { return testdb.Postgres(t).New(t) },
		"mariadb":  func(t *testing.T) string { return testdb.MariaDB(t).New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			if *honestCount < 1e5 { // otherwise one at a time
				t.Parallel()
			}
			test(t, dsn(t))
		})
	}
}

func newScene(t *testing.T, dsn string) *scene {
	ctx := context.Background()
	signing, key, err := GenerateDeploymentKey("example.com/trail")
	require.NoError(t, err)
	bucket, late := memblob.OpenBucket(nil), memblob.OpenBucket(nil)
	t.Cleanup(func() { require.NoError(t, bucket.Close()); require.NoError(t, late.Close()) })
	s := &scene{bucket: bucket, key: key, db: testdb.Connect(t, dsn)}
	open := func(to *blob.Bucket) *Journal {
		j, err := Open(ctx, dsn, &Options{Logger: attackLogger, DeploymentKey: signing, MaxBatch: 8, Publish: &PublishOptions{To: Checkpoints{Bucket: to}, Every: time.Hour}})
		require.NoError(t, err)
		s.d = j.d
		return j
	}
	fill := func(j *Journal, from, to int64) {
		_, err := spread(8, to-from, func(i int64) error { return j.Log(ctx, benchEvent(from+i)) })
		require.NoError(t, err)
	}
	for _, n := range []int64{40, 60} {
		j := open(bucket)
		fill(j, 0, n)
		require.NoError(t, j.Close(ctx))
		s.ended = append(s.ended, WriterID(j))
	}
	keep := func(name string) {
		for _, table := range attacked {
			_, err := s.db.Exec("CREATE TABLE " + name + table + " AS SELECT * FROM file_access_" + table)
			require.NoError(t, err)
		}
	}
	j := open(bucket)
	fill(j, 0, 20)
	keep("older_")
	fill(j, 20, 50)
	require.NoError(t, j.pub.publish(ctx))
	s.published = j.tail.next
	fill(j, 50, 80)
	keep("now_")
	s.killed, s.total = WriterID(j), j.tail.next
	j.pub.opts.To.Bucket = late // the killed writer never saw later publications
	require.NoError(t, j.Close(ctx))
	s.dropTriggers(t)
	return s
}

// attacked are the tables that the attacks change.
var attacked = []string{"logs", "checkpoints", "writers"}

// dropTriggers does what the owner of the database can do.
func (s *scene) dropTriggers(t *testing.T) {
	list := map[string]string{
		"sqlite":   "SELECT 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger'",
		"postgres": "SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 AND tgrelid::regclass::text LIKE 'file_access_%'",
		"mysql":    "SELECT CONCAT('DROP TRIGGER ', trigger_name) FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
	}[s.d.name()]
	var drops []string
	require.NoError(t, s.db.Select(&drops, list))
	require.NotEmpty(t, drops)
	for _, drop := range drops {
		_, err := s.db.Exec(drop)
		require.NoError(t, err, drop)
	}
}

// attacker works in one transaction on the original scene.
type attacker struct {
	t   *testing.T
	s   *scene
	rng *rand.Rand
	tx  *sqlx.Tx

	writer string // whose log is attacked
	at     int64  // the smallest seq that was changed
}

// attack restores the scene and runs one attack on it.
func (s *scene) attack(t *testing.T, seed uint64, do func(a *attacker)) *attacker {
	t.Helper()
	tx, err := s.db.Beginx()
	require.NoError(t, err)
	defer tx.Rollback()
	a := &attacker{t: t, s: s, rng: rand.New(rand.NewPCG(seed, 13)), tx: tx}
	a.restore("now_")
	if do != nil {
		do(a)
	}
	require.NoError(t, tx.Commit())
	return a
}

func (a *attacker) restore(name string) {
	for _, table := range attacked {
		a.exec("DELETE FROM file_access_" + table)
		a.exec("INSERT INTO file_access_" + table + " SELECT * FROM " + name + table)
	}
}

func (a *attacker) exec(query string, args ...any) {
	a.t.Helper()
	_, err := a.tx.Exec(a.tx.Rebind(query), args...)
	require.NoError(a.t, err)
}

func (a *attacker) rows(writer string) []*row {
	rows, err := a.tx.Query(a.tx.Rebind("SELECT "+a.s.d.columns()+" FROM file_access_logs WHERE writer_id = ? ORDER BY seq"), writer)
	require.NoError(a.t, err)
	defer rows.Close()
	var out []*row
	for rows.Next() {
		r := new(row)
		require.NoError(a.t, r.scan(rows, a.s.d.form()))
		out = append(out, r)
	}
	require.NoError(a.t, rows.Err())
	return out
}

// put replaces the log of a writer and recomputes all hashes.
func (a *attacker) put(writer string, rows []*row) {
	a.exec("DELETE FROM file_access_logs WHERE writer_id = ?", writer)
	for part := range slices.Chunk(rows, 50) {
		var args []any
		for _, r := range part {
			a.seal(r)
			args = r.args(args, a.s.d.formatTime)
		}
		a.exec("INSERT INTO file_access_logs ("+strings.Join(columns, ", ")+") VALUES "+repeat(marks(len(columns)), len(part)), args...)
	}
}

func (a *attacker) seal(r *row) {
	r.stored.Values = valuesOf(&r.Entry)
	r.stored.Seal()
}

// one picks an entry of any writer that a published checkpoint covers.
func (a *attacker) one() (rows []*row, i int) {
	a.writer = append(slices.Clone(a.s.ended), a.s.killed)[a.rng.IntN(3)]
	rows = a.rows(a.writer)
	i = 1 + a.rng.IntN(len(rows)-2)
	a.at = int64(i)
	return rows, i
}

// hide removes the checkpoints that would reveal the change, or keeps them.
func (a *attacker) hide() {
	switch a.rng.IntN(3) {
	case 0:
		a.exec("DELETE FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ?", a.writer, a.at)
	case 1:
		a.resign(a.writer, a.rows(a.writer), false)
	}
}

// resign generates a new key for a writer and signs its current log.
func (a *attacker) resign(writer string, rows []*row, everywhere bool) {
	a.t.Helper()
	w, err := loadWriter(context.Background(), a.tx, a.s.d, writer)
	require.NoError(a.t, err)
	private, _, err := GenerateDeploymentKey("example.com/trail")
	require.NoError(a.t, err)
	deployment, err := deploymentSigner(private)
	require.NoError(a.t, err)
	who, err := newIdentity(w.Writer, deployment)
	require.NoError(a.t, err)
	if everywhere || a.rng.IntN(2) == 0 {
		a.exec("UPDATE file_access_writers SET public_key = ?, certificate = ? WHERE writer_id = ?", who.PublicKey, []byte(who.Certificate), writer)
	}
	a.exec("DELETE FROM file_access_checkpoints WHERE writer_id = ?", writer)
	var t proof.Tree
	var args []any
	for _, r := range rows {
		t.Append(r.stored.Leaf)
		c, err := who.checkpoint(&t)
		require.NoError(a.t, err)
		args = append(args, c.WriterID, c.Size, c.Note)
	}
	if len(rows) > 0 {
		a.exec("INSERT INTO file_access_checkpoints (writer_id, tree_size, note) VALUES "+repeat("(?, ?, ?)", len(rows)), args...)
	}
}

func renumber(rows []*row) {
	for i, r := range rows {
		r.Seq = int64(i)
	}
}

var attacks = []struct {
	name string
	do   func(a *attacker)
}{
	{"edit", func(a *attacker) {
		rows, i := a.one()
		rows[i].Key, rows[i].Outcome = "invoices/other.pdf", audit.OutcomeDenied
		a.put(a.writer, rows)
		a.hide()
	}},
	{"backdate", func(a *attacker) {
		rows, i := a.one()
		d := -time.Duration(1+a.rng.Int64N(1e6)) * time.Second
		rows[i].OccurredAt, rows[i].CreatedAt = rows[i].OccurredAt.Add(d), rows[i].CreatedAt.Add(d)
		a.put(a.writer, rows)
		a.hide()
	}},
	{"change of actor", func(a *attacker) {
		rows, i := a.one()
		rows[i].Actor.UserID = "somebody else"
		a.put(a.writer, rows)
		a.hide()
	}},
	{"delete in the middle", func(a *attacker) {
		rows, i := a.one()
		a.put(a.writer, slices.Delete(rows, i, i+1))
		a.hide()
	}},
	{"delete and renumber", func(a *attacker) {
		rows, i := a.one()
		rows = slices.Delete(rows, i, i+1)
		renumber(rows)
		a.put(a.writer, rows)
		a.hide()
	}},
	{"insert", func(a *attacker) {
		rows, i := a.one()
		forged := *rows[i]
		forged.ID, forged.Key = uuid.Must(uuid.NewV7()).String(), "invoices/forged.pdf"
		rows = slices.Insert(rows, i, &forged)
		renumber(rows)
		a.put(a.writer, rows)
		a.hide()
	}},
	{"append", func(a *attacker) {
		rows, _ := a.one()
		forged := *rows[len(rows)-1]
		forged.ID, forged.Key = uuid.Must(uuid.NewV7()).String(), "invoices/forged.pdf"
		rows = append(rows, &forged)
		a.at = int64(len(rows) - 1)
		renumber(rows)
		a.put(a.writer, rows)
		if a.rng.IntN(2) == 0 {
			a.hide()
		}
	}},
	{"reorder", func(a *attacker) {
		rows, i := a.one()
		k := (i + 1 + a.rng.IntN(len(rows)-1)) % len(rows)
		rows[i], rows[k] = rows[k], rows[i]
		a.at = int64(min(i, k))
		renumber(rows)
		a.put(a.writer, rows)
		a.hide()
	}},
	{"cut the published tail", func(a *attacker) {
		rows, i := a.one()
		if a.writer == a.s.killed {
			i = a.rng.IntN(int(a.s.published))
			a.at = int64(i)
		}
		a.put(a.writer, rows[:i])
		a.exec("DELETE FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ?", a.writer, i)
	}},
	{"drop a writer", func(a *attacker) {
		a.one()
		a.at = 0
		for _, table := range []string{"file_access_logs", "file_access_checkpoints", "file_access_writers"} {
			a.exec("DELETE FROM "+table+" WHERE writer_id = ?", a.writer)
		}
	}},
	{"rewrite everything", func(a *attacker) {
		for _, w := range append(slices.Clone(a.s.ended), a.s.killed) {
			rows := a.rows(w)
			for _, r := range rows {
				r.Actor.UserID, r.Key = "nobody", fmt.Sprint("x/", a.rng.Int())
			}
			a.put(w, rows)
			a.resign(w, rows, true)
		}
		a.writer, a.at = a.s.killed, 0
	}},
	{"roll the database back", func(a *attacker) {
		a.restore("older_")
		a.writer, a.at = a.s.killed, a.s.published-1
	}},
	{"cut the unpublished tail", func(a *attacker) {
		a.writer = a.s.killed
		var sizes []int64
		require.NoError(a.t, a.tx.Select(&sizes, a.tx.Rebind("SELECT tree_size FROM file_access_checkpoints WHERE writer_id = ? AND tree_size >= ? AND tree_size < ? ORDER BY tree_size"), a.writer, a.s.published, a.s.total))
		k := sizes[a.rng.IntN(len(sizes))]
		a.exec("DELETE FROM file_access_logs WHERE writer_id = ? AND seq >= ?", a.writer, k)
		a.exec("DELETE FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ?", a.writer, k)
	}},
}

func TestAttacks(t *testing.T) { onEachDatabase(t, testAttacks) }

func testAttacks(t *testing.T, dsn string) {
	require.Len(t, attacks, 13)
	s := newScene(t, dsn)
	check := func(t *testing.T, keys ...string) *proof.Report {
		r, err := Verify(t.Context(), s.db.DB, &VerifyOptions{Keys: keys, Published: Checkpoints{Bucket: s.bucket}})
		require.NoError(t, err)
		return r
	}
	t.Run("none", func(t *testing.T) {
		s.attack(t, 0, nil)
		r := check(t, s.key)
		require.NoError(t, r.Err(), "%v", r.Findings)
		require.Equal(t, s.total-s.published, r.Unpublished())
	})
	always := 0
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			found := 0
			for seed := range uint64(*attackCount) {
				a := s.attack(t, seed, attack.do)
				// Verify with the deployment key and, for published entries,
				// also without it.
				for _, keys := range [][]string{{s.key}, nil} {
					r := check(t, keys...)
					if attack.name == "cut the unpublished tail" {
						require.NoError(t, r.Err(), "there is nothing to see it by")
						i := slices.IndexFunc(r.Streams, func(s proof.Stream) bool { return s.WriterID == a.writer })
						require.GreaterOrEqual(t, r.Streams[i].Size, s.published, "bounded by what was published")
						require.NotEmpty(t, r.Remarks)
						continue
					}
					if keys == nil && a.at >= s.published && a.writer == s.killed {
						continue // only the key reveals a change to unpublished entries
					}
					require.ErrorIs(t, r.Err(), proof.ErrTampered, "seed %d, keys %v", seed, keys)
					require.True(t, slices.ContainsFunc(r.Findings, func(f proof.Finding) bool {
						return f.WriterID == a.writer && (f.Seq < 0 || f.Seq <= a.at && a.at <= f.Last)
					}), "seed %d: no finding names entry %d of %s: %v", seed, a.at, a.writer, r.Findings)
					if keys != nil {
						found++
					}
				}
			}
			t.Logf("found %d of %d", found, *attackCount)
			if found == *attackCount {
				always++
			}
		})
	}
	t.Logf("%d of %d attacks were found each of %d times", always, len(attacks), *attackCount)
	require.Equal(t, 12, always)
}

var honestCount = flag.Int("honest", 2000, "how many honest entries are verified on each database; in full, 1000000")

// TestNoFalseAlarms verifies many unchanged entries of several writers, also
// after an erasure and after a purge.
func TestNoFalseAlarms(t *testing.T) { onEachDatabase(t, testNoFalseAlarms) }

func testNoFalseAlarms(t *testing.T, dsn string) {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "officer"})
	signing, key, err := GenerateDeploymentKey("example.com/trail")
	require.NoError(t, err)
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	var j *Journal
	var middle time.Time
	const writers = 4
	for w := range writers {
		if j != nil {
			require.NoError(t, j.Close(ctx))
		}
		if w == 2 {
			middle = time.Now()
		}
		j, err = Open(ctx, dsn, &Options{Logger: attackLogger, DeploymentKey: signing, Publish: &PublishOptions{To: Checkpoints{Bucket: bucket}}})
		require.NoError(t, err)
		_, err = spread(64, int64(*honestCount/writers), func(i int64) error { return j.Log(ctx, benchEvent(i)) })
		require.NoError(t, err)
	}
	defer func() { require.NoError(t, j.Close(ctx)) }()
	sound := func(what string) *proof.Report {
		began := time.Now()
		r, err := j.Verify(ctx, &VerifyOptions{Keys: []string{key}, Published: Checkpoints{Bucket: bucket}})
		require.NoError(t, err)
		require.NoError(t, r.Err(), "%v", r.Findings)
		t.Logf("%s: %d entries, %d erased, %d checkpoints, %d published: 0 findings in %v", what, r.Entries, r.Erased, r.Checkpoints, r.Published, time.Since(began).Round(time.Millisecond))
		return r
	}
	sound("as written")
	erased, err := j.Erase(ctx, audit.Query{UserID: "user-7"})
	require.NoError(t, err)
	require.Positive(t, erased)
	require.Equal(t, erased, sound("after an erasure").Erased)
	res, err := j.Purge(ctx, PurgeOptions{Before: middle})
	require.NoError(t, err)
	require.EqualValues(t, *honestCount/writers*2, res.Entries)
	sound("after a purge")
}
