package sqlaudit_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// forger can insert rows, but has neither the deployment key nor a writer's
// key.
type forger struct {
	*raw
	writer string // an honest process
}

// forgedIntent is a row inserted by a forger.
type forgedIntent struct {
	op, holder, writer, bucket, key, event string
	signature                              []byte
	begun                                  int64
}

func (f *forger) forge(action, key string) *forgedIntent {
	op := uuid.Must(uuid.NewV7()).String()
	return &forgedIntent{
		op: op, holder: uuid.NewString(), writer: f.writer, bucket: "files", key: key, signature: make([]byte, 64),
		event: fmt.Sprintf(`{"op_id":%q,"occurred_at":"2020-02-02T02:02:02Z","action":%q,"user_id":"bob","file_key":%q,"storage_backend":"local","bucket":"files"}`, op, action, key),
	}
}

func (f *forger) insert(t *testing.T, in *forgedIntent) {
	t.Helper()
	f.exec(t, "INSERT INTO file_access_intents (op_id, holder, writer_id, storage_backend, bucket, file_key, begun_at, lease_until, event, signature) VALUES (?, ?, ?, 'local', ?, ?, ?, 0, ?, ?)",
		in.op, in.holder, in.writer, in.bucket, in.key, in.begun, in.event, in.signature)
}

// settleDangling returns the keys of the intents that a reconciler receives,
// and the error about the others.
func settleDangling(t *testing.T, j *sqlaudit.Journal) (keys []string, last error) {
	t.Helper()
	for in, err := range j.Dangling(t.Context(), audit.DanglingQuery{Backend: "local", Lease: time.Hour}) {
		require.NoError(t, last, "the error comes last")
		if err != nil {
			last = err
			continue
		}
		keys = append(keys, in.Event().Key)
		require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeFailed}))
	}
	return keys, last
}

// An attacker who can write to file_access_intents and add writers cannot
// affect which operations the journal settles, claims or signs. Verify reports
// every such row.
func TestForgedIntents(t *testing.T) { onEach(t, testForgedIntents) }

func testForgedIntents(t *testing.T, s *system) {
	signing, key, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	require.NoError(t, err)
	j, db := s.open(t, &sqlaudit.Options{DeploymentKey: signing})
	require.NoError(t, j.Log(t.Context(), event("a.pdf"))) // registers the writer
	f := &forger{db, sqlaudit.WriterID(j)}

	replayed, err := j.Begin(t.Context(), event("replayed.pdf"), time.Hour)
	require.NoError(t, err)
	var row struct {
		Holder    string `db:"holder"`
		Event     string `db:"event"`
		Signature []byte `db:"signature"`
	}
	require.NoError(t, db.Get(&row, db.Rebind("SELECT holder, event, signature FROM file_access_intents WHERE op_id = ?"), replayed.OpID()))
	require.NoError(t, replayed.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))

	bad := map[string]*forgedIntent{}
	add := func(name string, change func(in *forgedIntent)) {
		in := f.forge("delete", "contracts/gone.pdf")
		if change != nil {
			change(in)
		}
		f.insert(t, in)
		bad[name] = in
	}
	add("unsigned", nil)
	add("a check of another object", func(in *forgedIntent) { *in = *f.forge("check", "contracts/victim.pdf") })
	add("another intent's signature", func(in *forgedIntent) { in.signature = row.Signature })
	add("another intent's event", func(in *forgedIntent) { in.event, in.signature = row.Event, row.Signature })
	add("a signature that is too long", func(in *forgedIntent) {
		if s.name == "sqlite" {
			in.signature = make([]byte, 1<<20)
		}
	})
	add("an empty signature", func(in *forgedIntent) { in.signature = []byte{} })
	add("a writer that is not there", func(in *forgedIntent) { in.writer = uuid.NewString() })
	add("begun before all time", func(in *forgedIntent) { in.begun = -5 })
	add("an event that is too long", func(in *forgedIntent) { in.event = `"` + strings.Repeat(" ", 1<<20) + `"` })
	add("a writer that vouches for itself", func(in *forgedIntent) {
		public, secret, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		in.writer = uuid.NewString()
		db.exec(t, "INSERT INTO file_access_writers (writer_id, origin, public_key, certificate, started_at) VALUES (?, 'x', ?, ?, '2026-01-01 00:00:00.000000')", in.writer, []byte(public), []byte("none"))
		in.signature = ed25519.Sign(secret, fmt.Appendf(nil, "blobtrail intent v1\nop %s\nholder %s\nevent %x\n", in.op, in.holder, sha256.Sum256([]byte(in.event))))
	})
	add("a writer whose row can't be read", func(in *forgedIntent) {
		in.writer = uuid.NewString()
		db.exec(t, "INSERT INTO file_access_writers (writer_id, origin, public_key, certificate, started_at) VALUES (?, 'x', ?, ?, '2026-01-01 00:00:00')", in.writer, []byte("k"), []byte("none"))
	})
	add("a settled one again", func(in *forgedIntent) {
		in.op, in.holder, in.key, in.event, in.signature = replayed.OpID(), row.Holder, "replayed.pdf", row.Event, row.Signature
	})
	before := db.count(t, "file_access_logs")

	// Add honest intents, and change some of them.
	changes := map[string]string{
		"good.pdf":     "lease_until = 0",
		"bucket.pdf":   "lease_until = 0, bucket = 'other'",
		"key.pdf":      "lease_until = 0, file_key = 'contracts/victim.pdf'",
		"holder.pdf":   "lease_until = 0, holder = '" + uuid.NewString() + "'",
		"event.pdf":    "lease_until = 0, event = replace(event, 'u-1', 'bob')",
		"begun.pdf":    "lease_until = 0, begun_at = -7",
		"renewals.pdf": "lease_until = 0, renewals = renewals + 3",
	}
	for name, change := range changes {
		in, err := j.Begin(t.Context(), event(name), time.Hour)
		require.NoError(t, err)
		db.exec(t, "UPDATE file_access_intents SET "+change+" WHERE op_id = ?", in.OpID())
	}
	keys, err := settleDangling(t, j)
	assert.ElementsMatch(t, []string{"good.pdf", "begun.pdf", "renewals.pdf"}, keys)
	require.ErrorIs(t, err, audit.ErrUntrusted)
	require.NotErrorIs(t, err, audit.ErrEvent)
	assert.ErrorContains(t, err, fmt.Sprintf("skipped %d open intents", len(bad)+4))
	assert.Less(t, len(err.Error()), 5000)

	for name, in := range bad {
		_, err := j.Claim(t.Context(), in.op, time.Hour, nil)
		require.ErrorIs(t, err, audit.ErrUntrusted, name)
	}
	assert.Equal(t, before+3, db.count(t, "file_access_logs"), "only the honest ones were settled")
	assert.Equal(t, len(bad)+4, db.count(t, "file_access_intents"), "the others are left alone")

	report, err := j.Verify(t.Context(), &sqlaudit.VerifyOptions{Keys: []string{key}})
	require.NoError(t, err)
	found := 0
	for _, finding := range report.Findings {
		if finding.Kind == "intent" {
			found++
		}
	}
	assert.Equal(t, len(bad)+4, found)
}

// Other processes can settle the operations of a process that died before its
// first entry.
func TestIntentOfADeadWriter(t *testing.T) { onEach(t, testIntentOfADeadWriter) }

func testIntentOfADeadWriter(t *testing.T, s *system) {
	signing, key, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	require.NoError(t, err)
	opts := &sqlaudit.Options{DeploymentKey: signing}
	dead, db := s.open(t, opts)
	in, err := dead.Begin(t.Context(), event("a.pdf"), time.Nanosecond)
	require.NoError(t, err)

	// Another process takes the operation over and dies too, before its first
	// entry.
	second, _ := openDSN(t, db.dsn, opts)
	_, err = second.Claim(t.Context(), in.OpID(), time.Nanosecond, nil)
	require.NoError(t, err)

	third, _ := openDSN(t, db.dsn, opts)
	keys, err := settleDangling(t, third)
	require.NoError(t, err)
	assert.Equal(t, []string{"a.pdf"}, keys)
	report, err := third.Verify(t.Context(), &sqlaudit.VerifyOptions{Keys: []string{key}})
	require.NoError(t, err)
	require.NoError(t, report.Err())
}

// Operations begun with a previous deployment key are settled if the new
// processes trust that key. Otherwise they are not changed.
func TestIntentsAcrossDeploymentKeys(t *testing.T) {
	first, firstKey, err := sqlaudit.GenerateDeploymentKey("acme.example/2025")
	require.NoError(t, err)
	next, _, err := sqlaudit.GenerateDeploymentKey("acme.example/2026")
	require.NoError(t, err)
	old, db := sqliteSystem.open(t, &sqlaudit.Options{DeploymentKey: first})
	_, err = old.Begin(t.Context(), event("a.pdf"), time.Nanosecond)
	require.NoError(t, err)

	strict, _ := openDSN(t, db.dsn, &sqlaudit.Options{DeploymentKey: next})
	keys, err := settleDangling(t, strict)
	require.ErrorIs(t, err, audit.ErrUntrusted)
	assert.Empty(t, keys)
	rotating, _ := openDSN(t, db.dsn, &sqlaudit.Options{DeploymentKey: next, TrustedKeys: []string{firstKey}})
	keys, err = settleDangling(t, rotating)
	require.NoError(t, err)
	assert.Equal(t, []string{"a.pdf"}, keys)

	_, err = sqlaudit.Open(context.Background(), db.dsn, &sqlaudit.Options{TrustedKeys: []string{firstKey}})
	require.ErrorContains(t, err, "DeploymentKey")
}

// Verified queries return an entry only if a certified writer signed it.
func TestVerifiedEntries(t *testing.T) { onEach(t, testVerifiedEntries) }

func testVerifiedEntries(t *testing.T, s *system) {
	signing, _, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	require.NoError(t, err)
	j, db := s.open(t, &sqlaudit.Options{DeploymentKey: signing})
	for i := range 3 {
		require.NoError(t, j.Log(t.Context(), event(fmt.Sprint(i))))
	}
	want := entries(t, j, audit.Query{})
	assert.Equal(t, want, entries(t, j, audit.Query{Verified: true}))

	// A copy of an entry with another seq, as a role with INSERT can create it.
	columns := "op_id, ref_op_id, occurred_at, created_at, action, settled_by, user_id, file_key, storage_backend, bucket, attrs, schema_version, pii_salt, pii_commitment, leaf"
	db.exec(t, "INSERT INTO file_access_logs (id, writer_id, seq, outcome, "+columns+") SELECT ?, ?, 7, 'failed', "+columns+" FROM file_access_logs WHERE seq = 1",
		uuid.Must(uuid.NewV7()).String(), sqlaudit.WriterID(j))
	var got []audit.Entry
	var last error
	for e, err := range j.Entries(t.Context(), audit.Query{Verified: true}) {
		require.NoError(t, last, "the error comes last")
		if last = err; err == nil {
			got = append(got, e)
		}
	}
	assert.Equal(t, want, got)
	require.ErrorIs(t, last, audit.ErrUntrusted)
	require.False(t, errors.Is(last, proof.ErrTampered))
}
