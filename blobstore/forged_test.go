package blobstore

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
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

// forge inserts an intent of an operation that nobody began.
func (s *staging) forge(t *testing.T, action audit.Action, key string, attrs map[string]string) {
	t.Helper()
	op := uuid.Must(uuid.NewV7()).String()
	text, err := json.Marshal(map[string]any{
		"op_id": op, "occurred_at": "2020-02-02T02:02:02Z", "action": action, "user_id": "bob", "file_key": key,
		"storage_backend": "mem", "bucket": "mem", "attrs": attrs,
	})
	require.NoError(t, err)
	s.host.MustExec("INSERT INTO file_access_intents (op_id, holder, writer_id, storage_backend, bucket, file_key, begun_at, lease_until, event, signature) VALUES (?, ?, ?, 'mem', 'mem', ?, 0, 0, ?, ?)",
		op, uuid.NewString(), s.journal.WriterID(), key, string(text), make([]byte, 64))
}

func (s *staging) entries(t *testing.T) (out []audit.Entry) {
	t.Helper()
	for e, err := range s.journal.Entries(s.ctx, audit.Query{}) {
		require.NoError(t, err)
		out = append(out, e)
	}
	return out
}

// Whoever inserts into file_access_intents has no effect on an object, has
// nothing signed, and does not hold up what was truly begun.
func TestReconcileIgnoresForgedIntents(t *testing.T) {
	s := newStaging(t, time.Minute)
	const victim = "contracts/victim.pdf"
	_, err := s.store.Upload(s.ctx, victim, strings.NewReader("the contract"), nil)
	require.NoError(t, err)
	s.forge(t, audit.ActionCheck, victim, nil)
	s.forge(t, audit.ActionCheck, canaryPrefix+uuid.NewString(), nil)
	s.forge(t, audit.ActionDownload, "nothing/here", map[string]string{attrStagingKey: victim})
	s.forge(t, audit.ActionUpload, victim, map[string]string{audit.AttrStaged: audit.StagedPending})
	s.forge(t, audit.ActionDelete, "contracts/gone.pdf", nil)
	s.forge(t, audit.ActionMove, "elsewhere.pdf", map[string]string{audit.AttrSourceKey: victim})
	s.forge(t, "approve_payment", victim, nil)
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

// A failed upload that somebody inserts into the trail has no effect either,
// although its operation is that of an object.
func TestReconcileIgnoresForgedEntries(t *testing.T) {
	s := newStaging(t, time.Minute)
	obj, err := s.store.Upload(s.ctx, "contracts/victim.pdf", strings.NewReader("the contract"), nil)
	require.NoError(t, err)
	for i, attrs := range []string{`{"staged":"pending"}`, ``} {
		var text any
		if attrs != "" {
			text = attrs
		}
		s.host.MustExec(`INSERT INTO file_access_logs (id, op_id, writer_id, seq, occurred_at, created_at, action, outcome, settled_by, user_id, file_key, storage_backend, bucket, attrs, schema_version, pii_salt, pii_commitment, leaf)
			SELECT ?, ?, writer_id, ?, occurred_at, created_at, 'upload', 'failed', 'reconciler', 'bob', file_key, storage_backend, bucket, ?, 1, pii_salt, pii_commitment, leaf FROM file_access_logs WHERE op_id = ? LIMIT 1`,
			uuid.Must(uuid.NewV7()).String(), obj.OpID, 100+i, text, obj.OpID)
	}
	// A purge may have removed what the honest process said of it.
	s.host.MustExec("DROP TRIGGER file_access_logs_no_delete")
	s.host.MustExec("DELETE FROM file_access_logs WHERE outcome = 'ok'")

	done, err := s.store.Reconcile(s.ctx)
	require.ErrorIs(t, err, audit.ErrUntrusted)
	assert.Zero(t, done)
	_, err = s.store.Stat(s.ctx, obj.Key)
	require.NoError(t, err)
	assert.Len(t, s.entries(t), 2, "the forged ones")
}

// No attribute that a caller sets can steer an operation.
func TestReservedAttributes(t *testing.T) {
	s := newStaging(t, time.Minute)
	view, err := s.store.Sub("tenants/rival/")
	require.NoError(t, err)
	const key = "tenants/rival/a.pdf"
	before := len(s.entries(t))
	for name := range reservedAttrs {
		attrs := map[string]string{name: "contracts/victim.pdf", "why": "test"}
		for what, do := range map[string]func() error{
			"upload": func() error {
				_, err := view.Upload(s.ctx, key, panicking{}, &UploadOptions{Attrs: attrs})
				return err
			},
			"stage": func() error {
				_, err := view.Stage(s.ctx, key, panicking{}, &UploadOptions{Attrs: attrs})
				return err
			},
			"begin upload": func() error {
				_, err := view.BeginUpload(s.ctx, key, &TicketOptions{Attrs: attrs})
				return err
			},
			"upload with a link": func() error {
				_, err := view.Upload(s.ctx, key, panicking{}, &UploadOptions{Link: &LinkOptions{Attrs: attrs}})
				return err
			},
			"download": func() error { _, err := view.Download(s.ctx, key, &DownloadOptions{Attrs: attrs}); return err },
			"parts": func() error {
				_, err := view.DownloadParts(s.ctx, key, &PartsOptions{Attrs: attrs, Choose: func(*Object) ([]Part, error) { return nil, nil }})
				return err
			},
			"delete": func() error { return view.Delete(s.ctx, key, &DeleteOptions{Attrs: attrs}) },
			"copy": func() error {
				return view.Copy(s.ctx, key, "tenants/rival/b.pdf", &CopyOptions{Attrs: attrs})
			},
			"move": func() error {
				return view.Move(s.ctx, key, "tenants/rival/b.pdf", &CopyOptions{Attrs: attrs})
			},
			"link": func() error { _, err := view.Link(s.ctx, key, &LinkOptions{Attrs: attrs}); return err },
		} {
			err := do()
			require.ErrorContains(t, err, "reserved", "%s with %s", what, name)
			require.ErrorIs(t, err, audit.ErrEvent)
		}
	}
	assert.Len(t, s.entries(t), before)
}

// An intent that was stored before its attributes were checked, or by a program
// that uses the journal itself, reaches no foreign key.
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
		{Action: audit.ActionUpload, Key: "a.pdf", Attrs: map[string]string{attrStagingKey: victim}},
		{Action: audit.ActionUpload, Key: "a.pdf", Attrs: map[string]string{attrStagingKey: private}},
		{Action: audit.ActionUpload, Key: "a.pdf", Attrs: map[string]string{attrStagingKey: ""}},
		{Action: audit.ActionDownload, Key: "a.pdf", Attrs: map[string]string{attrStagingKey: victim}},
		{Action: audit.ActionUpload, Key: private},
		{Action: audit.ActionMove, Key: "b.pdf", Attrs: map[string]string{audit.AttrSourceKey: private}},
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

// The description of an object alone is what Head asks for.
func TestHeadReadsNothing(t *testing.T) {
	s := newStaging(t, time.Minute)
	_, err := s.store.Upload(s.ctx, "a.pdf", strings.NewReader("content"), nil)
	require.NoError(t, err)
	p, err := s.store.DownloadParts(s.ctx, "a.pdf", &PartsOptions{Head: true, Choose: func(*Object) ([]Part, error) { return nil, nil }})
	require.NoError(t, err)
	require.NoError(t, p.Close())
	list := s.entries(t)
	assert.Equal(t, http.MethodHead, list[len(list)-1].Attrs[audit.AttrMethod])
	_, err = s.store.DownloadParts(s.ctx, "a.pdf", &PartsOptions{Head: true, Choose: func(o *Object) ([]Part, error) { return []Part{{Length: o.Size}}, nil }})
	require.ErrorContains(t, err, "Head")
	require.False(t, errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF))
}

// Whoever removes an open intent from the database hides nothing that the
// honest process still does: the effect gets its entry.
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
