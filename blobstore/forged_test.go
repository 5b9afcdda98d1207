package blobstore

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/keyrule"
)

// forge inserts an intent of an operation that was never begun.
func (s *staging) forge(t *testing.T, action audit.Action, key string, d audit.Details, source string) {
	t.Helper()
	op := uuid.Must(uuid.NewV7()).String()
	event := map[string]any{
		"op_id": op, "occurred_at": "2020-02-02T02:02:02.000000Z", "action": action, "user_id": "bob", "file_key": key,
		"storage_backend": "mem", "bucket": "mem", "details": maps.Collect(d.All()),
	}
	if source != "" {
		event["source_key"] = source
	}
	text, err := json.Marshal(event)
	require.NoError(t, err)
	s.host.MustExec("INSERT INTO file_access_intents (op_id, holder, writer_id, storage_backend, bucket, file_key, begun_at, lease_until, event, signature) VALUES (?, ?, ?, 'mem', 'mem', ?, 0, 0, ?, ?)",
		op, uuid.NewString(), s.writer(t), key, string(text), make([]byte, 64))
}

// writer is the ID of a writer of the trail.
func (s *staging) writer(t *testing.T) (id string) {
	t.Helper()
	require.NoError(t, s.host.Get(&id, "SELECT writer_id FROM file_access_writers ORDER BY writer_id DESC LIMIT 1"))
	return id
}

func (s *staging) entries(t *testing.T) (out []audit.Entry) {
	t.Helper()
	for e, err := range s.journal.Entries(s.ctx, audit.Query{}) {
		require.NoError(t, err)
		out = append(out, e)
	}
	return out
}

// A row inserted into file_access_intents by an attacker has no effect on an
// object, gets no signature, and does not delay genuine intents.
func TestReconcileIgnoresForgedIntents(t *testing.T) {
	s := newStaging(t, time.Minute)
	const victim = "contracts/victim.pdf"
	_, err := s.store.Upload(s.ctx, victim, strings.NewReader("the contract"), nil)
	require.NoError(t, err)
	s.forge(t, audit.ActionCheck, victim, audit.Details{}, "")
	s.forge(t, audit.ActionCheck, canaryPrefix+uuid.NewString(), audit.Details{}, "")
	s.forge(t, audit.ActionDownload, "nothing/here", audit.Details{StagingKey: victim}, "")
	s.forge(t, audit.ActionUpload, victim, audit.Details{Staged: true}, "")
	s.forge(t, audit.ActionDelete, "contracts/gone.pdf", audit.Details{}, "")
	s.forge(t, audit.ActionMove, "elsewhere.pdf", audit.Details{}, victim)
	s.forge(t, "approve_payment", victim, audit.Details{}, "")
	s.stage(t).die()
	s.host.MustExec("UPDATE file_access_intents SET lease_until = 0")
	before := len(s.entries(t))

	done, err := s.store.Reconcile(s.ctx)
	require.ErrorIs(t, err, audit.ErrUntrusted)
	require.ErrorIs(t, err, ErrAudit)
	assert.Equal(t, Reconciled{Failed: 1}, done, "the staged upload")
	_, err = s.store.Stat(s.ctx, victim)
	require.NoError(t, err)
	assert.Len(t, s.entries(t), before+1)
	open, err := s.journal.OpenIntents(s.ctx)
	require.NoError(t, err)
	assert.Equal(t, 7, open)
}

// An entry of a failed upload inserted by an attacker has no effect either,
// although its operation ID belongs to an object.
func TestReconcileIgnoresForgedEntries(t *testing.T) {
	s := newStaging(t, time.Minute)
	obj, err := s.store.Upload(s.ctx, "contracts/victim.pdf", strings.NewReader("the contract"), nil)
	require.NoError(t, err)
	for i, details := range []string{`{"staged":"pending"}`, ``} {
		var text any
		if details != "" {
			text = details
		}
		s.host.MustExec(`INSERT INTO file_access_logs (id, op_id, writer_id, seq, occurred_at, created_at, action, outcome, settled_by, user_id, file_key, storage_backend, bucket, details, schema_version, pii_salt, pii_commitment, leaf)
			SELECT ?, ?, writer_id, ?, occurred_at, created_at, 'upload', 'failed', 'reconciler', 'bob', file_key, storage_backend, bucket, ?, 1, pii_salt, pii_commitment, leaf FROM file_access_logs WHERE op_id = ? LIMIT 1`,
			uuid.Must(uuid.NewV7()).String(), obj.OpID, 100+i, text, obj.OpID)
	}
	// A purge may have removed the genuine entries.
	s.host.MustExec("DROP TRIGGER file_access_logs_no_delete")
	s.host.MustExec("DELETE FROM file_access_logs WHERE outcome = 'ok'")

	done, err := s.store.Reconcile(s.ctx)
	require.ErrorIs(t, err, audit.ErrUntrusted)
	assert.Zero(t, done)
	_, err = s.store.Stat(s.ctx, obj.Key)
	require.NoError(t, err)
	assert.Len(t, s.entries(t), 2, "the forged ones")
}

// Attributes of the application may have the names of the library's own fields.
// They are recorded separately and affect nothing.
func TestAttributesDoNotAffectOperations(t *testing.T) {
	s := newStaging(t, time.Minute)
	const victim, key = "contracts/victim.pdf", "tenants/rival/a.pdf"
	_, err := s.store.Upload(s.ctx, victim, strings.NewReader("the contract"), nil)
	require.NoError(t, err)
	view, err := s.store.Sub("tenants/rival/")
	require.NoError(t, err)
	attrs := map[string]string{"source_key": victim, "staging_key": victim, "staged": "pending", "prior": "present", "replaces": "true", "etag": "x", "details": `{"staging_key":"x"}`}
	ctx := audit.WithAttrs(s.ctx, attrs)
	for _, do := range []func(){
		func() { _, _ = view.Upload(ctx, key, panicking{}, nil) },
		func() { _, _ = view.Stage(ctx, key, panicking{}, nil) },
	} {
		require.Panics(t, do)
	}
	_, err = view.Upload(ctx, key, strings.NewReader("x"), nil)
	require.NoError(t, err)
	require.NoError(t, view.Copy(ctx, "tenants/rival/b.pdf", key, nil))
	require.NoError(t, view.Move(ctx, "tenants/rival/c.pdf", key, nil))
	require.NoError(t, view.Delete(ctx, "tenants/rival/b.pdf", nil))
	s.host.MustExec("UPDATE file_access_intents SET lease_until = 0")
	_, err = s.store.Reconcile(s.ctx)
	require.NoError(t, err)
	_, err = s.store.Stat(s.ctx, victim)
	require.NoError(t, err)
	found := 0
	for _, e := range s.entries(t) {
		assert.NotEqual(t, victim, e.SourceKey)
		if e.Attrs != nil {
			assert.Equal(t, attrs, e.Attrs, "%s", e.Action)
			found++
		}
	}
	assert.Equal(t, 7, found)
}

// An intent stored by an older version, or by a program that uses the journal
// directly, must not affect foreign keys.
func TestReconcileChecksKeys(t *testing.T) {
	s := newStaging(t, time.Minute)
	const victim = "contracts/victim.pdf"
	_, err := s.store.Upload(s.ctx, victim, strings.NewReader("the contract"), nil)
	require.NoError(t, err)
	private := keyrule.Uploads + uuid.NewString()
	bucket := s.store.bucket
	require.NoError(t, bucket.Write(s.ctx, private, strings.NewReader("x"), &driver.WriteOptions{ContentType: "text/plain"}))
	for _, e := range []audit.Event{
		{Action: audit.ActionCheck, Key: victim},
		{Action: audit.ActionCheck, Key: private},
		{Action: audit.ActionUpload, Key: "a.pdf", Details: audit.Details{StagingKey: victim}},
		{Action: audit.ActionUpload, Key: "a.pdf", Details: audit.Details{StagingKey: private}},
		{Action: audit.ActionDownload, Key: "a.pdf", Details: audit.Details{StagingKey: victim}},
		{Action: audit.ActionUpload, Key: private},
		{Action: audit.ActionMove, Key: "b.pdf", SourceKey: private},
		{Action: audit.ActionMove, Key: "b.pdf"},
	} {
		e.Backend, e.Bucket = "mem", "mem"
		_, err := s.journal.Begin(s.ctx, e, time.Nanosecond)
		require.NoError(t, err)
	}
	s.host.MustExec("UPDATE file_access_intents SET lease_until = 0")
	before := len(s.entries(t))
	done, err := s.store.Reconcile(s.ctx)
	require.ErrorIs(t, err, audit.ErrUntrusted)
	assert.Zero(t, done)
	assert.Len(t, s.entries(t), before)
	for _, key := range []string{victim, private} {
		a, err := s.store.attributes(s.ctx, key)
		require.NoError(t, err)
		assert.NotNil(t, a, key)
	}
}

// Head requests only the description of an object.
func TestHeadReadsNothing(t *testing.T) {
	s := newStaging(t, time.Minute)
	_, err := s.store.Upload(s.ctx, "a.pdf", strings.NewReader("content"), nil)
	require.NoError(t, err)
	p, err := s.store.DownloadRanges(s.ctx, "a.pdf", &RangesOptions{Head: true, Choose: func(*Object) ([]Range, error) { return nil, nil }})
	require.NoError(t, err)
	require.NoError(t, p.Close())
	list := s.entries(t)
	assert.Equal(t, http.MethodHead, list[len(list)-1].Details.Method)
	_, err = s.store.DownloadRanges(s.ctx, "a.pdf", &RangesOptions{Head: true, Choose: func(o *Object) ([]Range, error) { return []Range{{Length: o.Size}}, nil }})
	require.ErrorContains(t, err, "Head")
	require.False(t, errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF))
}

// Deleting an open intent from the database does not hide the operation: its
// effect gets an entry.
func TestEffectOfARemovedIntentIsRecorded(t *testing.T) {
	s := newStaging(t, time.Minute)
	_, err := s.store.Upload(s.ctx, "a.pdf", strings.NewReader("content"), nil)
	require.NoError(t, err)
	s.host.MustExec(`CREATE TRIGGER hide AFTER INSERT ON file_access_intents BEGIN DELETE FROM file_access_intents WHERE op_id = NEW.op_id; END`)
	require.NoError(t, s.store.Copy(s.ctx, "b.pdf", "a.pdf", nil))
	require.NoError(t, s.store.Delete(s.ctx, "a.pdf", nil))
	var got []string
	for _, e := range s.entries(t) {
		got = append(got, string(e.Action)+" "+e.Key+" "+string(e.Outcome))
	}
	assert.Equal(t, []string{"upload a.pdf ok", "copy b.pdf ok", "delete a.pdf ok"}, got)
}
