package proof

// This file implements the proof of one entry.

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blobtrail/blobtrail/audit"
)

// proofVersion is the version of a [Proof].
const proofVersion = 1

// Proof shows to someone without access to the trail that an entry is part of
// it. It is a JSON document; [Verify] checks it.
type Proof struct {
	Version int `json:"version"` // 1
	// Entry is the canonical form of the entry, byte for byte.
	Entry string `json:"entry"`
	// Personal holds the salt, in hexadecimal digits, and the personal columns
	// that were recorded, by their names. It is nil after an erasure. Set it to
	// nil to pass on a proof without personal data.
	Personal    map[string]string `json:"personal,omitempty"`
	Index       int64             `json:"index"` // the position of the entry in the log of its writer
	Path        []tlog.Hash       `json:"path"`  // of RFC 6962, in base64
	Checkpoint  string            `json:"checkpoint"`
	Certificate string            `json:"certificate"`
}

// NewProof returns the proof of e. path leads from e to the root in checkpoint,
// and certificate is that of the writer.
func NewProof(e *Entry, path []tlog.Hash, checkpoint, certificate string) *Proof {
	return &Proof{
		Version: proofVersion, Entry: string(e.Canonical(nil)), Personal: e.personal(), Index: e.seq(),
		Path: path, Checkpoint: checkpoint, Certificate: certificate,
	}
}

// Verify checks p and returns the entry that it proves. keys are the verifier
// keys that may certify writers: those of the deployment. If p has no personal
// fields, the actor of the entry has none.
//
// A proof that holds shows that a writer, certified by one of keys, signed a log
// with this entry in that position. Otherwise the error wraps [ErrTampered].
func Verify(p *Proof, keys ...string) (audit.Entry, error) {
	var e audit.Entry
	trusted, err := ParseKeys(keys...)
	if err == nil {
		e, err = p.verify(trusted)
	}
	if err != nil {
		return audit.Entry{}, fmt.Errorf("%w: the proof does not hold: %w", ErrTampered, err)
	}
	return e, nil
}

func (p *Proof) verify(trusted []note.Verifier) (audit.Entry, error) {
	var none audit.Entry
	if p == nil || p.Version != proofVersion {
		return none, fmt.Errorf("it is not of version %d", proofVersion)
	}
	if len(trusted) == 0 {
		return none, errors.New("no key was given to check it with")
	}
	// Key, certificate, checkpoint, path, entry: each vouches for the next.
	w, err := parseWriter(p.Certificate)
	if err != nil {
		return none, fmt.Errorf("the certificate: %w", err)
	}
	v, _, err := w.verifier()
	if err != nil {
		return none, err
	}
	if _, err := openNote(p.Certificate, trusted...); err != nil {
		return none, fmt.Errorf("the certificate is signed by none of the keys: %w", err)
	}
	c, err := openCheckpoint(p.Checkpoint, v)
	if err != nil {
		return none, fmt.Errorf("the checkpoint is not one of this writer: %w", err)
	}
	if err := tlog.CheckRecord(p.Path, c.size, c.root, p.Index, tlog.RecordHash([]byte(p.Entry))); err != nil {
		return none, fmt.Errorf("the path does not lead from the entry to the root: %w", err)
	}
	e, err := parseCanonical(p.Entry)
	if err != nil {
		return none, err
	}
	if e.text(writerColumn) != w.ID || e.seq() != p.Index {
		return none, errors.New("the entry names another position than it has")
	}
	if p.Personal != nil {
		if err := e.fillPersonal(p.Personal); err != nil {
			return none, err
		}
		if !bytes.Equal(e.commitment(), e.Commitment) {
			return none, errors.New("the personal fields are not those that the entry commits to")
		}
	}
	return e.decode()
}
