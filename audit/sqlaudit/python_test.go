package sqlaudit_test

// This file tests the specification of the format with a second implementation.
// It is written in Python and shares no code with this package.

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

type pythonReport struct {
	Entries, Erased, Checkpoints int64
	Writers                      map[string]struct {
		First, Size int64
		Root        string
	}
	Problems []string
}

// pythonVerify runs verify.py. With BLOBTRAIL_REQUIRE_PYTHON, a missing python3
// is an error.
func pythonVerify(t *testing.T, path string) pythonReport {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("BLOBTRAIL_REQUIRE_PYTHON") != "" {
			require.NoError(t, err)
		}
		t.Skip("left out: there is no python3")
	}
	out, err := exec.CommandContext(t.Context(), python, "testdata/verify.py", strings.TrimPrefix(path, "sqlite:")).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		require.Equal(t, 1, exit.ExitCode(), "%s", exit.Stderr)
	} else {
		require.NoError(t, err)
	}
	var r pythonReport
	require.NoError(t, json.Unmarshal(out, &r))
	require.Equal(t, exit == nil, len(r.Problems) == 0)
	return r
}

func TestPythonAgreesOnTheVectors(t *testing.T) {
	r := pythonVerify(t, "../proof/testdata/vectors.json")
	assert.Empty(t, r.Problems)
	assert.EqualValues(t, 3, r.Entries)
}

func TestPythonAgrees(t *testing.T) {
	tr := newTrail(t)
	tr.write(t, 300)
	j := tr.open(t)
	size := int64(9007199254740993)
	odd := event("invoices/\"M\u00e4rz\"\\a/\U0001F4C4")
	odd.Size, odd.SHA256 = &size, make([]byte, 32)
	odd.SourceKey = "staging/\u00e4"
	odd.Details = audit.Details{Filename: "<&>/\u00e4\t\n.pdf", Staged: true, MaxSize: &size, AllowedTypes: []string{"image/*", "text/plain"}, Expires: time.Now()}
	odd.Attrs = map[string]string{"note": "<&>/\u00e4\t\n", "\uE000": "after the emoji", "\U0001F600": "before U+E000", "": "empty name"}
	odd.Actor.IP, odd.Actor.UserID = "", "\u00fc"
	require.NoError(t, j.Log(t.Context(), odd))
	require.NoError(t, j.Log(t.Context(), audit.Event{Action: audit.ActionDelete, Actor: audit.Actor{}}))
	hostile := event("a\x00b\xff\u202Ec\uFFFD\uFFFF\u2028")
	hostile.Actor = audit.Actor{UserID: "\x00", TenantID: "\xff", IP: strings.Repeat("\xc3", 900), UserAgent: strings.Repeat("\u00e4\x00", 9000), RequestID: "\U0001F600"}
	hostile.Resource = audit.Resource{Type: strings.Repeat("\u00df", 60), ID: "\x7f\u0085"}
	hostile.Attrs = map[string]string{"n\x00": "v\xfe", strings.Repeat("\U0001F4C4", 100): strings.Repeat("\"\\", 2000)}
	hostile.Size = new(int64(0))
	require.NoError(t, j.Log(t.Context(), hostile))
	logMany(t, j, 100)
	_, err := j.Erase(officer, audit.Query{Key: "files/3"})
	require.NoError(t, err)
	require.NoError(t, j.Close(context.Background()))

	agree := func() {
		t.Helper()
		ours, theirs := tr.verify(t), pythonVerify(t, tr.dsn)
		requireSound(t, ours)
		require.Empty(t, theirs.Problems)
		assert.Equal(t, []int64{ours.Entries, ours.Erased}, []int64{theirs.Entries, theirs.Erased})
		require.Len(t, theirs.Writers, len(ours.Streams))
		db := newRaw(t, tr.dsn)
		for _, s := range ours.Streams {
			w := theirs.Writers[s.WriterID]
			assert.Equal(t, []int64{s.First, s.Size}, []int64{w.First, w.Size})
			var note string
			require.NoError(t, db.Get(&note, "SELECT note FROM file_access_checkpoints WHERE writer_id = ? AND tree_size = ?", s.WriterID, s.Size))
			assert.Equal(t, strings.Split(note, "\n")[2], w.Root)
		}
		t.Logf("%d entries, %d erased, %d checkpoints: both verifiers agree on every leaf, commitment and root", theirs.Entries, theirs.Erased, theirs.Checkpoints)
	}
	agree()

	theClockMovesOn()
	before := time.Now()
	j = tr.open(t)
	res, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before})
	require.NoError(t, err)
	require.Positive(t, res.Entries)
	logMany(t, j, 20)
	require.NoError(t, j.Close(context.Background()))
	agree()

	db := newRaw(t, tr.dsn)
	dropTriggers(t, db)
	found := 0
	for name, statement := range map[string]string{
		"an entry":   "UPDATE file_access_logs SET file_key = 'x' WHERE file_key = 'files/5'",
		"an actor":   "UPDATE file_access_logs SET user_id = 'x' WHERE file_key = 'files/6'",
		"a deletion": "DELETE FROM file_access_logs WHERE file_key = 'files/8'",
	} {
		db.exec(t, statement)
		now := len(pythonVerify(t, tr.dsn).Problems)
		assert.Greater(t, now, found, name)
		found = now
	}
	require.ErrorIs(t, tr.verify(t).Err(), proof.ErrTampered)
}

const proofVector = "../proof/testdata/proof.json"

// Old proofs must remain valid.
func TestProofVector(t *testing.T) {
	var v struct {
		Key   string       `json:"deployment_key"`
		Proof *proof.Proof `json:"proof"`
	}
	data, err := os.ReadFile(proofVector)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &v))
	e, err := proof.Verify(v.Proof, v.Key)
	require.NoError(t, err)
	assert.Equal(t, "files/7", e.Key)
	assert.Equal(t, event("").Actor, e.Actor)
	assert.Len(t, v.Proof.Path, 5)
}
