package sqlaudit_test

// This file tests that only objects signed by the trail's writers count.

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/secret"
)

func TestVerdicts(t *testing.T) {
	tr, other := newTrail(t), newTrail(t)
	tr.write(t, 3)
	other.write(t, 3)
	empty := newTrail(t)
	j := empty.open(t)
	require.NoError(t, j.Close(context.Background()))
	tampered := newTrail(t)
	tampered.write(t, 3)
	db := newRaw(t, tampered.dsn)
	dropTriggers(t, db)
	db.exec(t, "UPDATE file_access_logs SET file_key = 'x' WHERE seq = 1")
	noKeys := func(o *sqlaudit.VerifyOptions) { o.Keys = nil }
	noBucket := func(o *sqlaudit.VerifyOptions) { o.Published = sqlaudit.Checkpoints{} }
	wrong := func(o *sqlaudit.VerifyOptions) { o.Published.Prefix = "wrong/" }
	for name, c := range map[string]struct {
		tr     *trail
		change func(*sqlaudit.VerifyOptions)
		want   proof.Verdict
		code   int
	}{
		"all":                       {tr, func(*sqlaudit.VerifyOptions) {}, proof.VerdictSound, 0},
		"no keys":                   {tr, noKeys, proof.VerdictSound, 0},
		"the latest only":           {tr, func(o *sqlaudit.VerifyOptions) { o.LatestPublished = true }, proof.VerdictSound, 0},
		"no bucket":                 {tr, noBucket, proof.VerdictNotAnchored, 3},
		"no bucket, empty":          {empty, noBucket, proof.VerdictNotAnchored, 3},
		"wrong prefix":              {tr, wrong, proof.VerdictNotCheckable, 2},
		"wrong prefix, empty":       {empty, wrong, proof.VerdictNotCheckable, 2},
		"no prefix":                 {tr, func(o *sqlaudit.VerifyOptions) { o.Published.Prefix = "" }, proof.VerdictNotCheckable, 2},
		"half of the prefix":        {tr, func(o *sqlaudit.VerifyOptions) { o.Published.Prefix = "check" }, proof.VerdictNotCheckable, 2},
		"empty":                     {empty, func(*sqlaudit.VerifyOptions) {}, proof.VerdictNotCheckable, 2},
		"the bucket of another":     {empty, func(o *sqlaudit.VerifyOptions) { o.Published.Bucket = other.bucket }, proof.VerdictNotCheckable, 2},
		"tampered":                  {tampered, func(*sqlaudit.VerifyOptions) {}, proof.VerdictTampered, 1},
		"tampered and wrong prefix": {tampered, wrong, proof.VerdictTampered, 1},
		"tampered and no bucket":    {tampered, noBucket, proof.VerdictTampered, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.tr.verify(t, c.change)
			assert.Equal(t, c.want, r.Verdict, "%v", r.Findings)
			assert.Equal(t, c.code, r.Verdict.ExitCode())
			assert.Equal(t, c.code == 0 || c.code == 3, (r.Err() == nil))
			switch c.want {
			case proof.VerdictTampered:
				require.ErrorIs(t, r.Err(), proof.ErrTampered)
			case proof.VerdictNotCheckable:
				require.ErrorIs(t, r.Err(), proof.ErrNotCheckable)
				require.NotErrorIs(t, r.Err(), proof.ErrTampered)
			default:
				require.NoError(t, r.Err())
			}
		})
	}
	assert.Equal(t, 2, proof.Verdict("").ExitCode())
}

// Strangers who can create objects in the bucket, or whose checkpoints were
// published by a process, cannot make an intact trail look tampered with.
func TestJunkInTheBucket(t *testing.T) {
	tr := newTrail(t)
	writer := tr.write(t, 5)
	second := tr.write(t, 3)
	read := func(key string) []byte {
		b, err := tr.bucket.ReadAll(t.Context(), "checkpoints/"+key)
		require.NoError(t, err)
		return b
	}
	size := func(writer string, n int) string { return fmt.Sprintf("%s/%020d", writer, n) }
	const stranger = "01950000-0000-7000-8000-000000000000"
	for key, text := range map[string][]byte{
		size(writer, 99): []byte("x"), size(writer, 98): {}, size(writer, 97): read(size(writer, 5)), size(writer, 96): read(size(second, 3)), size(writer, 1<<40): read(writer + "/certificate"),
		stranger + "/certificate": []byte("x"), size(stranger, 7): read(size(second, 3)), "01950000-0000-7000-8000-000000000001/certificate": read(second + "/certificate"), size("01950000-0000-7000-8000-000000000001", 3): read(size(second, 3)),
		size("01950000-0000-7000-8000-000000000002", 3): []byte("x"), "note.txt": nil, writer + "/00": nil,
	} {
		require.NoError(t, tr.bucket.WriteAll(t.Context(), "checkpoints/"+key, text, nil))
	}
	// Add writers of strangers, with certificates and checkpoints.
	for _, key := range []secret.Text{{}, newTrail(t).signing} {
		j := tr.open(t, func(o *sqlaudit.Options) { o.DeploymentKey = key })
		logMany(t, j, 4)
		require.NoError(t, j.Close(context.Background()))
		r := tr.verify(t)
		require.ErrorIs(t, r.Err(), proof.ErrTampered, "while it is in the database")
		for _, f := range r.Findings {
			require.Equal(t, sqlaudit.WriterID(j), f.WriterID)
			require.Equal(t, "certificate", f.Kind)
		}
		db := newRaw(t, tr.dsn)
		if db.count(t, "sqlite_master WHERE type = 'trigger'") > 0 {
			dropTriggers(t, db)
		}
		for _, table := range []string{"logs", "checkpoints", "writers"} {
			db.exec(t, "DELETE FROM file_access_"+table+" WHERE writer_id = ?", sqlaudit.WriterID(j))
		}
	}
	for name, change := range map[string]func(*sqlaudit.VerifyOptions){"all": func(*sqlaudit.VerifyOptions) {}, "the latest": func(o *sqlaudit.VerifyOptions) { o.LatestPublished = true }} {
		r := tr.verify(t, change)
		requireSound(t, r)
		assert.Equal(t, proof.VerdictSound, r.Verdict, name)
		assert.EqualValues(t, 2, r.Published, name)
		assert.Zero(t, r.Unpublished(), name)
		assert.Contains(t, strings.Join(r.Remarks, "\n"), "none of the given keys certifies their writer", name)
	}

	// Checkpoints that a writer really published are found among the others.
	db := newRaw(t, tr.dsn)
	db.exec(t, "DELETE FROM file_access_logs WHERE writer_id = ? AND seq > 2", writer)
	db.exec(t, "DELETE FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > 3", writer)
	r := tr.verify(t)
	assert.Equal(t, "cut", r.Findings[len(r.Findings)-1].Kind)
	assert.Contains(t, fmt.Sprint(r.Findings), "the writer published a checkpoint for 5 entries")
	for _, table := range []string{"logs", "checkpoints", "writers"} {
		db.exec(t, "DELETE FROM file_access_"+table+" WHERE writer_id = ?", writer)
	}
	r = tr.verify(t)
	require.Len(t, r.Findings, 1)
	assert.Equal(t, "writer", r.Findings[0].Kind)
	assert.Contains(t, r.Findings[0].Detail, "it published a checkpoint for 5 entries")
}

// A process publishes the checkpoints of another writer only if the deployment
// key certifies that writer.
func TestPublishesOnlyForCertifiedWriters(t *testing.T) {
	tr := newTrail(t)
	earlier := newTrail(t)
	former := &trail{tr.dsn, earlier.signing, earlier.key, tr.bucket}
	open := func(t *testing.T, change func(*sqlaudit.Options)) *sqlaudit.Journal {
		return tr.open(t, func(o *sqlaudit.Options) { o.Publish.Every = time.Nanosecond; change(o) })
	}
	gone := tr.leave(t, 5)
	var made []string
	for _, key := range []secret.Text{{}, newTrail(t).signing} {
		made = append(made, (&trail{tr.dsn, key, "", tr.bucket}).leave(t, 2))
	}
	rotated := former.leave(t, 2)
	db := newRaw(t, tr.dsn)
	for i := range 250 { // these precede the valid checkpoint
		db.exec(t, "INSERT INTO file_access_checkpoints VALUES (?, ?, 'x')", gone, 1000+i)
	}
	db.exec(t, "INSERT INTO file_access_logs (id, op_id, writer_id, seq, occurred_at, created_at, action, outcome, settled_by, schema_version, pii_commitment, leaf) "+
		"SELECT '01950000-0000-7000-8000-00000000000a', op_id, writer_id, 1249, occurred_at, '2020-01-01T00:00:00.000000Z', "+
		"action, outcome, settled_by, 1, pii_commitment, leaf FROM file_access_logs WHERE writer_id = ? AND seq = 1", gone)
	db.exec(t, "INSERT INTO file_access_writers SELECT x'ffff', origin, public_key, certificate, started_at FROM file_access_writers LIMIT 1")

	none := open(t, func(o *sqlaudit.Options) { o.DeploymentKey = secret.Text{} })
	require.NoError(t, sqlaudit.PublishOthers(none))
	require.NoError(t, none.Close(context.Background()))
	assert.Empty(t, objects(t, tr.bucket), "without a key, no writer is certified")

	j := open(t, func(*sqlaudit.Options) {})
	require.NoError(t, sqlaudit.PublishOthers(j))
	require.NoError(t, j.Close(context.Background()))
	assert.ElementsMatch(t, []string{"checkpoints/" + gone + "/certificate", fmt.Sprintf("checkpoints/%s/%020d", gone, 5)}, objects(t, tr.bucket))

	j = open(t, func(o *sqlaudit.Options) { o.TrustedKeys = []string{former.key} })
	require.NoError(t, sqlaudit.PublishOthers(j))
	require.NoError(t, j.Close(context.Background()))
	list := strings.Join(objects(t, tr.bucket), "\n")
	assert.Contains(t, list, rotated)
	for _, id := range made {
		assert.NotContains(t, list, id)
	}
	_, err := sqlaudit.Open(t.Context(), tr.dsn, &sqlaudit.Options{DeploymentKey: tr.signing, TrustedKeys: []string{"x"}})
	require.ErrorContains(t, err, "TrustedKeys")
}
