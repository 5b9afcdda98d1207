package sqlaudit

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/proof"
)

// The validity of an order depends on the key that certifies its signer.
// Without keys, an order signed by an attacker's writer is accepted, and the
// report contains a remark about that.
func TestOrdersOfAttackers(t *testing.T) {
	s := newScene(t, "sqlite:"+filepath.Join(t.TempDir(), "trail.db"))
	s.attack(t, 0, func(a *attacker) {
		victim, size := s.ended[1], int64(0)
		require.NoError(t, a.tx.Get(&size, "SELECT min(tree_size) FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > 20", victim))
		var gone proof.Tree
		for _, r := range a.rows(victim)[:size] {
			gone.Append(r.stored.Leaf)
		}
		w := proof.Writer{ID: uuid.Must(uuid.NewV7()).String(), Origin: "elsewhere", StartedAt: microseconds(time.Now())}
		who, err := newIdentity(w, nil)
		require.NoError(t, err)
		op := uuid.Must(uuid.NewV7()).String()
		order, err := who.sign(proof.FrontierText(op, victim, &gone))
		require.NoError(t, err)
		a.exec("INSERT INTO file_access_writers (writer_id, origin, public_key, certificate, started_at) VALUES (?, ?, ?, ?, ?)",
			who.ID, who.Origin, who.PublicKey, []byte(who.Certificate), s.d.formatTime(w.StartedAt))
		a.exec("INSERT INTO file_access_frontiers (writer_id, tree_size, hashes, note) VALUES (?, ?, ?, ?)", victim, size, hashBytes(gone), order)
		a.exec("DELETE FROM file_access_logs WHERE writer_id = ? AND seq < ?", victim, size)
		a.exec("DELETE FROM file_access_checkpoints WHERE writer_id = ? AND tree_size < ?", victim, size)
	})
	r, err := Verify(t.Context(), s.db.DB, &VerifyOptions{Keys: []string{s.key}, Published: Checkpoints{Bucket: s.bucket}})
	require.NoError(t, err)
	require.ErrorIs(t, r.Err(), proof.ErrTampered)
	kinds := make(map[string]bool)
	for _, f := range r.Findings {
		kinds[f.Kind] = true
	}
	require.True(t, kinds["frontier"], "%v", r.Findings)

	r, err = Verify(t.Context(), s.db.DB, &VerifyOptions{Published: Checkpoints{Bucket: s.bucket}})
	require.NoError(t, err)
	require.NoError(t, r.Err(), "%v", r.Findings)
	require.Contains(t, r.Remarks[0], "ordered entries to be erased or removed")
}
