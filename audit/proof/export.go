package proof

// This file implements writing exports of removed entries.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	exportVersion = 1
	exportTitle   = "blobtrail export v1"
)

// exportLine is a line of an export. Exactly one of its five forms is set.
type exportLine struct {
	Export     *exportBegin      `json:"export,omitempty"`
	Writer     *exportWriter     `json:"writer,omitempty"`
	Entry      string            `json:"entry,omitempty"` // the canonical form, byte for byte
	Leaf       string            `json:"leaf,omitempty"`
	Personal   map[string]string `json:"personal,omitempty"`
	Checkpoint string            `json:"checkpoint,omitempty"` // covers the entries before it
	End        *exportEnd        `json:"end,omitempty"`
}

type exportBegin struct {
	Version int    `json:"version"`
	OpID    string `json:"op_id"`
}

type exportWriter struct {
	ID          string      `json:"writer_id"`
	Origin      string      `json:"origin"`
	Certificate string      `json:"certificate"`
	From        int64       `json:"from"`             // the seq of the next entry
	Hashes      []tlog.Hash `json:"hashes,omitempty"` // the hashes of the tree of the entries before it
}

type exportEnd struct {
	Note        string `json:"note"`
	Certificate string `json:"certificate"` // the certificate of the writer that signed the note
}

// encode returns the only valid encoding of the line.
func (l *exportLine) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(l)
	return b.Bytes(), err
}

// digest covers the lines before the end of an export.
type digest struct {
	lines int64
	hash  hash.Hash
}

func (d *digest) add(line []byte) {
	d.lines++
	d.hash.Write(line)
}

// text returns the text of the note at the end of an export.
func (d *digest) text(opID string) string {
	return fmt.Sprintf("%s\nop %s\nlines %d\nsha256 %s\n", exportTitle, opID, d.lines, hex.EncodeToString(d.hash.Sum(nil)))
}

// Export writes entries as JSON Lines before they are removed. [VerifyExport]
// checks the result. An Export is not safe for concurrent use.
type Export struct {
	w      io.Writer
	opID   string
	digest digest
	writer string // the last writer, and the position after its last entry
	next   int64
}

// NewExport returns an export of the operation opID. It writes nothing before
// the first entry.
func NewExport(w io.Writer, opID string) *Export {
	return &Export{w: w, opID: opID, digest: digest{hash: sha256.New()}}
}

// Write writes entries of a writer in a single call of the underlying writer.
// start is the tree of the preceding entries, and checkpoint is the writer's
// checkpoint of the tree that includes entries.
func (x *Export) Write(w *Writer, start *Tree, entries []*Entry, checkpoint string) error {
	var lines []exportLine
	if x.digest.lines == 0 {
		lines = append(lines, exportLine{Export: &exportBegin{exportVersion, x.opID}})
	}
	if x.writer != w.ID || x.next != start.Size {
		lines = append(lines, exportLine{Writer: &exportWriter{w.ID, w.Origin, w.Certificate, start.Size, start.Hashes}})
	}
	x.writer, x.next = w.ID, start.Size+int64(len(entries))
	for _, e := range entries {
		lines = append(lines, exportLine{Entry: string(e.Canonical(nil)), Leaf: hex.EncodeToString(e.Leaf[:]), Personal: e.personal()})
	}
	return x.write(append(lines, exportLine{Checkpoint: checkpoint}))
}

func (x *Export) write(lines []exportLine) error {
	var all []byte
	for i := range lines {
		line, err := lines[i].encode()
		if err != nil {
			return err
		}
		x.digest.add(line)
		all = append(all, line...)
	}
	_, err := x.w.Write(all)
	return err
}

// End ends an export with a note that counts its lines, so that no line can be
// removed undetected. sign returns the note with the given text, signed by the
// writer signer. End reports whether it wrote anything; an export without
// entries has no end.
func (x *Export) End(signer *Writer, sign func(text string) (string, error)) (bool, error) {
	if x.digest.lines == 0 {
		return false, nil
	}
	signed, err := sign(x.digest.text(x.opID))
	if err != nil {
		return false, err
	}
	return true, x.write([]exportLine{{End: &exportEnd{signed, signer.Certificate}}})
}
