package sqlaudit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

func TestProofs(t *testing.T) { onEach(t, testProofs) }

func testProofs(t *testing.T, s *system) {
	tr := newTrailOn(t, s)
	j := tr.open(t)
	t.Cleanup(func() { require.NoError(t, j.Close(context.Background())) })
	logMany(t, j, 40)
	odd := event("a \"quoted\" <key> \u00e4\U0001F4C4")
	odd.Attrs = map[string]string{"filename": "<&>/\u00e4", "": "x"}
	odd.Actor = audit.Actor{UserAgent: "only an agent"}
	require.NoError(t, j.Log(t.Context(), odd))
	for _, e := range entries(t, j, audit.Query{}) {
		p, err := j.Prove(t.Context(), e.ID)
		require.NoError(t, err)
		text, err := json.Marshal(p)
		require.NoError(t, err)
		var read proof.Proof
		require.NoError(t, json.Unmarshal(text, &read))
		got, err := proof.Verify(&read, tr.key)
		require.NoError(t, err)
		assert.Equal(t, e, got)
		read.Personal = nil
		got, err = proof.Verify(&read, tr.key)
		require.NoError(t, err)
		assert.Equal(t, audit.Actor{TenantID: e.Actor.TenantID}, got.Actor)
	}
}

func TestProveOfNoEntry(t *testing.T) {
	j, _ := sqliteSystem.open(t, nil)
	for _, id := range []string{"", "x", "01941f29-7c00-7000-8000-000000000001"} {
		_, err := j.Prove(t.Context(), id)
		require.ErrorIs(t, err, sqlaudit.ErrNoEntry)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

func TestProveRefusesWhatWasChanged(t *testing.T) {
	tr := newTrail(t)
	j := tr.open(t)
	t.Cleanup(func() { require.NoError(t, j.Close(context.Background())) })
	for i := range 8 {
		require.NoError(t, j.Log(t.Context(), event(fmt.Sprint(i))))
	}
	list := entries(t, j, audit.Query{})
	db := newRaw(t, tr.dsn)
	dropTriggers(t, db)
	db.exec(t, "UPDATE file_access_logs SET file_key = 'x' WHERE seq = 3")
	_, err := j.Prove(t.Context(), list[3].ID)
	require.ErrorIs(t, err, proof.ErrTampered)
	db.exec(t, "DELETE FROM file_access_logs WHERE seq = 1")
	_, err = j.Prove(t.Context(), list[5].ID)
	require.ErrorIs(t, err, proof.ErrTampered)
}

func TestVerifyProofRefuses(t *testing.T) {
	tr, other := newTrail(t), newTrail(t)
	proofOf := func(tr *trail) *proof.Proof {
		j := tr.open(t)
		defer func() { require.NoError(t, j.Close(context.Background())) }()
		logMany(t, j, 20)
		require.NoError(t, j.Log(t.Context(), event("the last")))
		require.NoError(t, j.Log(t.Context(), event("beyond")))
		// In a tree of 21 entries, in any batches.
		p, err := j.Prove(t.Context(), entries(t, j, audit.Query{Key: "the last"})[0].ID)
		require.NoError(t, err)
		require.Len(t, p.Path, 2)
		return p
	}
	good, foreign := proofOf(tr), proofOf(other)
	for name, change := range map[string]func(p *proof.Proof){
		"another version":    func(p *proof.Proof) { p.Version = 2 },
		"another entry":      func(p *proof.Proof) { p.Entry = foreign.Entry },
		"another outcome":    func(p *proof.Proof) { p.Entry = strings.Replace(p.Entry, `"ok"`, `"failed"`, 1) },
		"another place":      func(p *proof.Proof) { p.Index++ },
		"a place before":     func(p *proof.Proof) { p.Index = -1 },
		"a shorter path":     func(p *proof.Proof) { p.Path = p.Path[1:] },
		"another path":       func(p *proof.Proof) { p.Path[0][0] ^= 1 },
		"another checkpoint": func(p *proof.Proof) { p.Checkpoint = foreign.Checkpoint },
		"a changed checkpoint": func(p *proof.Proof) {
			lines := strings.SplitN(p.Checkpoint, "\n", 3) // origin, size, the rest
			p.Checkpoint = lines[0] + "\n" + lines[1] + "0\n" + lines[2]
		},
		"another certificate":                 func(p *proof.Proof) { p.Certificate = foreign.Certificate },
		"no certificate":                      func(p *proof.Proof) { p.Certificate = "" },
		"all another's":                       func(p *proof.Proof) { *p = *foreign },
		"another user":                        func(p *proof.Proof) { p.Personal["user_id"] = "somebody else" },
		"no user":                             func(p *proof.Proof) { delete(p.Personal, "user_id") },
		"another salt":                        func(p *proof.Proof) { p.Personal["salt"] = strings.Repeat("00", 32) },
		"no salt":                             func(p *proof.Proof) { p.Personal["salt"] = "" },
		"a space in the entry":                func(p *proof.Proof) { p.Entry = " " + p.Entry },
		"nothing":                             func(p *proof.Proof) { *p = proof.Proof{Version: 1} },
		"a checkpoint as its own certificate": func(p *proof.Proof) { p.Certificate = p.Checkpoint },
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(good)
			require.NoError(t, err)
			var p proof.Proof
			require.NoError(t, json.Unmarshal(data, &p))
			_, err = proof.Verify(&p, tr.key)
			require.NoError(t, err)
			change(&p)
			_, err = proof.Verify(&p, tr.key)
			require.ErrorIs(t, err, proof.ErrTampered)
		})
	}
	_, err := proof.Verify(good)
	require.Error(t, err, "without a key")
	_, err = proof.Verify(nil, tr.key)
	require.Error(t, err)
}
