package sqlaudit_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestVerifyOfAnHonestTrail(t *testing.T) { onEach(t, testVerifyOfAnHonestTrail) }

func testVerifyOfAnHonestTrail(t *testing.T, s *system) {
	tr := newTrailOn(t, s)
	tr.write(t, 30)
	second := tr.write(t, 2500) // more than one page
	r := tr.verify(t)
	requireSound(t, r)
	assert.EqualValues(t, 2530, r.Entries)
	assert.EqualValues(t, 2, r.Published)
	assert.Zero(t, r.Unpublished())
	require.Len(t, r.Remarks, 1)
	assert.Contains(t, r.Remarks[0], "has 0 entries after these checkpoints")
	require.Len(t, r.Streams, 2)
	last := r.Streams[1]
	assert.Equal(t, second, last.WriterID)
	assert.Equal(t, "example.com/trail", last.CertifiedBy)
	assert.Equal(t, []int64{0, 2500, 2500, 2500}, []int64{last.First, last.Size, last.Signed, last.Published})
}

func TestVerifyOfAnEmptyTrail(t *testing.T) {
	j, db := sqliteSystem.open(t, nil)
	r, err := sqlaudit.Verify(t.Context(), db.DB.DB, nil)
	require.NoError(t, err)
	requireSound(t, r)
	assert.Zero(t, r.Entries)
	assert.Len(t, r.Remarks, 2, "neither a key nor a bucket was given")
	_, err = j.Verify(t.Context(), nil)
	require.NoError(t, err)
}

func TestVerifyWhileTheTrailGrows(t *testing.T) { onEach(t, testVerifyWhileTheTrailGrows) }

func testVerifyWhileTheTrailGrows(t *testing.T, s *system) {
	tr := newTrailOn(t, s)
	tr.write(t, 1) // so that something is published
	j := tr.open(t, func(o *sqlaudit.Options) { o.Publish.Entries = 20 })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		for i := 0; i < 1500 && ctx.Err() == nil; i++ { // bounded, because each check reads all of them
			if err := j.Log(context.Background(), event("k")); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	checks := 10
	if testing.Short() {
		checks = 4
	}
	for range checks {
		requireSound(t, tr.verify(t))
	}
	stop()
	require.NoError(t, <-done)
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))
}

func TestVerifyWithoutTheRightKey(t *testing.T) {
	tr := newTrail(t)
	tr.write(t, 3)
	_, other, err := sqlaudit.GenerateDeploymentKey("example.com/trail")
	require.NoError(t, err)
	r := tr.verify(t, func(o *sqlaudit.VerifyOptions) { o.Keys = []string{other} })
	require.ErrorIs(t, r.Err(), proof.ErrTampered)
	assert.Equal(t, "certificate", r.Findings[0].Kind)
	requireSound(t, tr.verify(t, func(o *sqlaudit.VerifyOptions) { o.Keys = []string{other, tr.key} }))

	r = tr.verify(t, func(o *sqlaudit.VerifyOptions) { o.Keys = nil })
	requireSound(t, r)
	require.Len(t, r.Remarks, 2)
	assert.Contains(t, r.Remarks[0], "certifies itself")

	for name, key := range map[string]string{"no key": "abc", "the signing key": tr.signing.Reveal()} {
		_, err := sqlaudit.Verify(t.Context(), newRaw(t, tr.dsn).DB.DB, &sqlaudit.VerifyOptions{Keys: []string{key}})
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), tr.signing.Reveal())
	}
}

func TestVerifyCountsAllFindingsAndListsSome(t *testing.T) {
	tr := newTrail(t)
	tr.write(t, 50)
	db := newRaw(t, tr.dsn)
	dropTriggers(t, db)
	_, err := db.Exec("UPDATE file_access_logs SET outcome = 'failed'")
	require.NoError(t, err)
	r := tr.verify(t, func(o *sqlaudit.VerifyOptions) { o.MaxFindings = 7 })
	assert.Len(t, r.Findings, 7)
	assert.GreaterOrEqual(t, r.Total, 50)
}

// Values that the database would accept, but no program of ours stores.
func TestVerifyOfOddValues(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		kind      string
	}{
		"empty text for NULL": {"UPDATE file_access_logs SET error_code = '' WHERE seq = 2", "unreadable"},
		"text for a number":   {"UPDATE file_access_logs SET size = 'many' WHERE seq = 2", "unreadable"},
		"text for a place":    {"UPDATE file_access_logs SET seq = 'x' WHERE seq = 2", "unreadable"},
		"a time that is none": {"UPDATE file_access_logs SET created_at = 'now' WHERE seq = 2", "unreadable"},
		"a short leaf":        {"UPDATE file_access_logs SET leaf = x'00' WHERE seq = 2", "unreadable"},
		"attrs spaced out":    {"UPDATE file_access_logs SET attrs = '{ }' WHERE seq = 2", "unreadable"},
		"a writer of its own": {"UPDATE file_access_logs SET writer_id = 'x' WHERE seq = 2", "writer"},
		"a writer of no name": {"UPDATE file_access_logs SET writer_id = '' WHERE seq = 2", "unreadable"},
		"before the start":    {"UPDATE file_access_logs SET seq = -1 WHERE seq = 2", "sequence"},
		"user without salt":   {"UPDATE file_access_logs SET pii_salt = NULL, user_id = 'x' WHERE seq = 2", "commitment"},
		"a blanked actor":     {"UPDATE file_access_logs SET pii_salt = NULL, user_id = NULL, ip_address = NULL, user_agent = NULL, request_id = NULL WHERE seq = 2", "erasure"},
		"another origin":      {"UPDATE file_access_writers SET origin = 'x'", "certificate"},
		"no certificate":      {"UPDATE file_access_writers SET certificate = NULL", "certificate"},
		"no key":              {"UPDATE file_access_writers SET public_key = NULL", "certificate"},
		"no note":             {"UPDATE file_access_checkpoints SET note = ''", "signature"},
		"a moved checkpoint":  {"UPDATE file_access_checkpoints SET tree_size = tree_size + 1 WHERE tree_size = 5", "signature"},
		"a false frontier":    {"INSERT INTO file_access_frontiers SELECT writer_id, tree_size, x'', note FROM file_access_checkpoints", "frontier"},
		"a false order":       {"INSERT INTO file_access_erasures SELECT writer_id, 0, writer_id, note FROM file_access_checkpoints LIMIT 1", "erasure"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrail(t)
			tr.write(t, 5)
			db := newRaw(t, tr.dsn)
			dropTriggers(t, db)
			_, err := db.Exec(c.statement)
			require.NoError(t, err)
			r := tr.verify(t)
			require.Error(t, r.Err())
			kinds := make(map[string]bool)
			for _, f := range r.Findings {
				kinds[f.Kind] = true
			}
			assert.True(t, kinds[c.kind], "want %s: %v", c.kind, r.Findings)
		})
	}
}
