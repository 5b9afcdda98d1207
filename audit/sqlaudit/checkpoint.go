package sqlaudit

// A writer's proof of what it stored: its Merkle tree, and checkpoints of it
// that are signed with a key which never leaves the process.

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// frontier is all that a growing RFC 6962 tree has to remember: the roots of
// its perfect subtrees, from the largest to the smallest. Their sizes are the
// set bits of the tree's size.
type frontier struct {
	size  int64
	roots []tlog.Hash
}

// plus returns the tree with one more leaf. It does not change f.
func (f frontier) plus(leaves ...tlog.Hash) frontier {
	out := frontier{f.size, append([]tlog.Hash(nil), f.roots...)}
	for _, leaf := range leaves {
		out.add(leaf)
	}
	return out
}

// add appends a leaf.
func (f *frontier) add(leaf tlog.Hash) {
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		leaf = tlog.NodeHash(f.roots[last], leaf)
		f.roots = f.roots[:last]
	}
	f.roots = append(f.roots, leaf)
	f.size++
}

// root is the tree's root hash. That of the empty tree is the SHA-256 of
// nothing.
func (f frontier) root() tlog.Hash {
	if len(f.roots) == 0 {
		h, _ := tlog.TreeHash(0, nil)
		return h
	}
	h := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}

// signerName names a writer in the signatures of its notes.
func signerName(writerID string) string { return "blobtrail/" + writerID }

// newKey mints a writer's key.
func newKey(writerID string) (note.Signer, ed25519.PublicKey, error) {
	secret, public, err := note.GenerateKey(rand.Reader, signerName(writerID))
	if err != nil {
		return nil, nil, err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, nil, err
	}
	// A note's key is "name+hash+base64", whose first byte is the algorithm's.
	_, encoded, _ := strings.Cut(public, "+")
	_, encoded, _ = strings.Cut(encoded, "+")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return nil, nil, errors.New("sqlaudit: unexpected form of a public key")
	}
	return signer, raw[1:], nil
}

// checkpointText is a tree in the C2SP form of a checkpoint.
func checkpointText(writerID string, size int64, root tlog.Hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", signerName(writerID), size, root)
}

// parseCheckpoint reads what checkpointText wrote.
func parseCheckpoint(text, writerID string) (size int64, root tlog.Hash, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return 0, root, errors.New("it does not have three lines")
	}
	if lines[0] != signerName(writerID) {
		return 0, root, fmt.Errorf("it is of %q", lines[0])
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return 0, root, errors.New("its size is no number")
	}
	if root, err = tlog.ParseHash(lines[2]); err != nil {
		return 0, root, errors.New("its root is no hash")
	}
	return size, root, nil
}

// certificateText is what the deployment's key says of a writer.
func certificateText(w writer) string {
	return fmt.Sprintf("blobtrail writer\n%s\n%s\n%s\n%q\n", w.id, base64.StdEncoding.EncodeToString(w.publicKey), w.startedAt.UTC().Format(timeFormat), w.origin)
}

// newWriter mints the identity of a stream.
func newWriter(id, origin string, at time.Time, deployment note.Signer) (writer, error) {
	w := writer{id: id, origin: origin, startedAt: at}
	var err error
	if w.signer, w.publicKey, err = newKey(id); err != nil {
		return w, fmt.Errorf("sqlaudit: minting a writer's key: %w", err)
	}
	if deployment != nil {
		signed, err := note.Sign(&note.Note{Text: certificateText(w)}, deployment)
		if err != nil {
			return w, fmt.Errorf("sqlaudit: certifying a writer: %w", err)
		}
		w.certificate = string(signed)
	}
	return w, nil
}

// checkpoint is a row of file_access_checkpoints.
type checkpoint struct {
	WriterID string `db:"writer_id"`
	TreeSize int64  `db:"tree_size"`
	PrevSize int64  `db:"prev_size"`
	Note     string `db:"note"`
}

// sign makes the checkpoint of a tree that grew from prev.
func (w writer) sign(prev int64, tree frontier) (*checkpoint, error) {
	signed, err := note.Sign(&note.Note{Text: checkpointText(w.id, tree.size, tree.root())}, w.signer)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: signing a checkpoint: %w", err)
	}
	return &checkpoint{w.id, tree.size, prev, string(signed)}, nil
}
