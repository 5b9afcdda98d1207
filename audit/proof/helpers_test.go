package proof

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"

	"github.com/blobtrail/blobtrail/audit"
)

// deployment is a deployment's key.
type deployment struct {
	signer note.Signer
	key    string
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "example.com/trail")
	require.NoError(t, err)
	signer, err := note.NewSigner(private)
	require.NoError(t, err)
	return &deployment{signer, public}
}

// testWriter is a writer with its log.
type testWriter struct {
	Writer
	t       *testing.T
	signer  note.Signer
	entries []*Entry
	tree    Tree
}

func (d *deployment) writer(t *testing.T, n int) *testWriter {
	t.Helper()
	w := &testWriter{t: t, Writer: Writer{ID: fmt.Sprintf("01941f29-7bff-7000-8000-%012d", n), Origin: "host", StartedAt: time.Unix(1e9, 0).UTC()}}
	private, public, err := note.GenerateKey(rand.Reader, KeyName(w.ID))
	require.NoError(t, err)
	w.signer, err = note.NewSigner(private)
	require.NoError(t, err)
	w.PublicKey, err = publicKey(public)
	require.NoError(t, err)
	text, err := w.CertificateText()
	require.NoError(t, err)
	signed, err := note.Sign(&note.Note{Text: text}, w.signer, d.signer)
	require.NoError(t, err)
	w.Certificate = string(signed)
	return w
}

func (w *testWriter) sign(text string) (string, error) {
	signed, err := note.Sign(&note.Note{Text: text}, w.signer)
	return string(signed), err
}

// write adds n entries and returns the tree before them, the entries and the
// checkpoint after them.
func (w *testWriter) write(n int) (start Tree, entries []*Entry, checkpoint string) {
	start = w.tree.Clone()
	for range n {
		seq := int64(len(w.entries))
		e := &Entry{Salt: bytes.Repeat([]byte{7}, 32), Values: valuesOf(&audit.Entry{
			ID: fmt.Sprintf("01941f29-7c00-7000-8000-%012d", seq), WriterID: w.ID, Seq: seq, CreatedAt: w.StartedAt.Add(time.Hour), SettledBy: audit.SettledByWriter,
			Event: audit.Event{
				OpID: "0b8f5a0e-6c0f-4c57-9c2b-0f5b7c1d2e3f", OccurredAt: w.StartedAt, Action: audit.ActionDownload, Outcome: audit.OutcomeOK,
				Actor: audit.Actor{UserID: "anna"}, Key: fmt.Sprint("files/", seq),
			},
		})}
		e.Seal()
		w.entries = append(w.entries, e)
		w.tree.Append(e.Leaf)
	}
	checkpoint, err := w.sign(CheckpointText(w.ID, &w.tree))
	require.NoError(w.t, err)
	return start, w.entries[start.Size:], checkpoint
}

// erase returns a copy of e without its personal values.
func erase(e *Entry) *Entry {
	out := &Entry{Values: append([]any(nil), e.Values...), Commitment: e.Commitment, Leaf: e.Leaf}
	for i, c := range audit.Columns() {
		if c.Personal {
			out.Values[i] = nil
		}
	}
	return out
}
