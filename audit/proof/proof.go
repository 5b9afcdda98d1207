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

// Proof proves that an entry is part of a trail, to someone without access to
// the trail. It is a JSON document. [Verify] checks it.
type Proof struct {
	Version int `json:"version"` // always 1
	// Entry is the canonical form of the entry, byte for byte.
	Entry string `json:"entry"`
	// Personal has the salt, in hexadecimal digits, and the recorded personal
	// columns, by name. It is nil after an erasure. To pass on a proof without
	// personal data, set it to nil.
	Personal    map[string]string `json:"personal,omitempty"`
	Index       int64             `json:"index"` // the position of the entry in its writer's log
	Path        []tlog.Hash       `json:"path"`  // the inclusion proof of RFC 6962, in base64
	Checkpoint  string            `json:"checkpoint"`
	Certificate string            `json:"certificate"`
}

// NewProof returns the proof of e. path leads from e to the root in checkpoint.
// certificate is the certificate of the writer.
func NewProof(e *Entry, path []tlog.Hash, checkpoint, certificate string) *Proof {
	return &Proof{
		Version: proofVersion, Entry: string(e.Canonical(nil)), Personal: e.personal(), Index: e.seq(),
		Path: path, Checkpoint: checkpoint, Certificate: certificate,
	}
}

// Verify checks p and returns the entry that it proves. keys are the verifier
// keys of the deployment, which may certify writers. If p has no personal
// fields, the actor of the entry has none.
//
// A valid proof shows that a writer certified by one of keys signed a log with
// this entry at this position. If the proof is invalid or keys is empty, the
// error wraps [ErrTampered].
func Verify(p *Proof, keys ...string) (audit.Entry, error) {
	var e audit.Entry
	trusted, err := ParseKeys(keys...)
	if err == nil {
		e, err = p.verify(trusted)
	}
	if err != nil {
		return audit.Entry{}, fmt.Errorf("%w: the proof is invalid: %w", ErrTampered, err)
	}
	return e, nil
}

func (p *Proof) verify(trusted []note.Verifier) (audit.Entry, error) {
	var none audit.Entry
	if p == nil || p.Version != proofVersion {
		return none, fmt.Errorf("missing proof, or unsupported version: want version %d", proofVersion)
	}
	if len(trusted) == 0 {
		return none, errors.New("no verifier key: pass at least one")
	}
	// The keys confirm the certificate, the certificate confirms the
	// checkpoint, and the checkpoint confirms the path and the entry.
	w, err := parseWriter(p.Certificate)
	if err != nil {
		return none, fmt.Errorf("the certificate: %w", err)
	}
	v, _, err := w.verifier()
	if err != nil {
		return none, err
	}
	if _, err := openNote(p.Certificate, trusted...); err != nil {
		return none, fmt.Errorf("none of the keys signed the certificate: %w", err)
	}
	c, err := openCheckpoint(p.Checkpoint, v)
	if err != nil {
		return none, fmt.Errorf("the checkpoint is not signed by this writer: %w", err)
	}
	if err := tlog.CheckRecord(p.Path, c.size, c.root, p.Index, tlog.RecordHash([]byte(p.Entry))); err != nil {
		return none, fmt.Errorf("the path does not lead from the entry to the root: %w", err)
	}
	e, err := parseCanonical(p.Entry)
	if err != nil {
		return none, err
	}
	if e.text(writerColumn) != w.ID || e.seq() != p.Index {
		return none, errors.New("the entry's writer or seq does not match the proof")
	}
	if p.Personal != nil {
		if err := e.fillPersonal(p.Personal); err != nil {
			return none, err
		}
		if !bytes.Equal(e.commitment(), e.Commitment) {
			return none, errors.New("the personal fields do not match the entry's commitment")
		}
	}
	return e.decode()
}
