package proof

// This file implements the report of a check.

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrTampered reports that a trail, an export or a proof was changed.
	ErrTampered = errors.New("proof: the trail is not as it was recorded")
	// ErrNotCheckable reports that nothing signed by the trail was given to
	// check it with.
	ErrNotCheckable = errors.New("proof: the trail can't be checked")
)

// Verdict summarizes a [Report].
type Verdict string

// The verdicts. A program that reports one by its exit code uses
// [Verdict.ExitCode].
const (
	// VerdictSound means that there are no findings, and that published
	// checkpoints, or the end of the export, confirm it.
	VerdictSound Verdict = "sound"
	// VerdictTampered means that there is at least one finding.
	VerdictTampered Verdict = "tampered"
	// VerdictNotCheckable means that there are no findings, but that the bucket,
	// below the prefix, has no checkpoint that this trail published. The prefix
	// or the bucket is wrong, nothing was published yet, or the writers of the
	// trail were removed. A file without an export has this verdict too.
	VerdictNotCheckable Verdict = "not checkable"
	// VerdictNotAnchored means that there are no findings, but that no bucket
	// was given, or that an export has no end. The last entries may be missing.
	VerdictNotAnchored Verdict = "sound, but not anchored"
)

// ExitCode returns 0 for [VerdictSound], 1 for [VerdictTampered], 3 for
// [VerdictNotAnchored], and 2 for anything else.
func (v Verdict) ExitCode() int {
	switch v {
	case VerdictSound:
		return 0
	case VerdictTampered:
		return 1
	case VerdictNotAnchored:
		return 3
	}
	return 2
}

// The kinds of findings. [Finding] documents them.
const (
	kindUnreadable  = "unreadable"
	kindLeaf        = "leaf"
	kindCommitment  = "commitment"
	kindErasure     = "erasure"
	kindSequence    = "sequence"
	kindRoot        = "root"
	kindUnsigned    = "unsigned"
	kindCut         = "cut"
	kindSignature   = "signature"
	kindCertificate = "certificate"
	kindWriter      = "writer"
	kindFrontier    = "frontier"
	kindPublished   = "published"
)

// Finding is a difference between the trail and the record of it. Its Kind is
// one of these words:
//
//	unreadable   a row or line does not have the form in which it is written
//	leaf         the leaf of an entry is not the hash of its content
//	commitment   personal fields do not match the commitment of their entry
//	erasure      personal fields are gone without a valid order
//	sequence     entries are missing, or several have the same position
//	root         entries are not those that the writer signed
//	unsigned     entries beyond those that the writer signed
//	cut          the writer signed more entries than there are
//	signature    a checkpoint is not signed by its writer
//	certificate  no trusted key certifies the writer
//	writer       a writer is missing
//	frontier     the beginning of a log is gone without a valid order
//	intent       no certified writer signed an open intent
//	published    a published checkpoint and the database disagree
type Finding struct {
	Kind     string
	WriterID string // "" if it concerns no writer in particular
	// Seq is the place of the entry, or of the first of several, in the log of
	// its writer; -1 if it concerns the writer.
	Seq     int64
	Last    int64  // the last of several; else equal to Seq
	EntryID string // "" if the entry is gone or not known
	Detail  string // the expected and the actual state, in words
	Line    int    // of an export; 0 elsewhere
}

func (f Finding) String() string {
	where := "writer " + f.WriterID
	if f.WriterID == "" {
		where = "the trail"
	}
	switch {
	case f.Seq >= 0 && f.Last > f.Seq:
		where += fmt.Sprintf(", entries %d to %d", f.Seq, f.Last)
	case f.Seq >= 0:
		where += fmt.Sprintf(", entry %d", f.Seq)
	}
	if f.EntryID != "" {
		where += " (" + f.EntryID + ")"
	}
	if f.Line > 0 {
		where = fmt.Sprintf("line %d, %s", f.Line, where)
	}
	return fmt.Sprintf("%s: %s: %s", f.Kind, where, f.Detail)
}

// Stream is the log of one writer.
type Stream struct {
	WriterID  string
	Origin    string
	StartedAt time.Time
	// CertifiedBy is the name of the trusted key that certifies the writer, or
	// "".
	CertifiedBy string
	First       int64 // the seq of the first entry; those before it were removed or are not in the export
	Size        int64 // the number of entries, including those before First
	Signed      int64 // the number of entries that the last stored checkpoint covers
	Published   int64 // the number of entries that the last published checkpoint covers
}

// unpublished is the number of entries at the end of the log that no published
// checkpoint covers. The owner of the database could cut them off unnoticed.
func (s Stream) unpublished() int64 { return max(0, s.Size-max(s.Published, s.First)) }

// Report is the result of checking a trail or an export. Without Findings, the
// trail is as it was recorded. Remarks lists the limits of the check.
type Report struct {
	// Verdict is the result in a word.
	Verdict Verdict

	Entries     int64 // the number of entries that were checked
	Erased      int64 // those of them without personal fields
	Checkpoints int64
	Published   int64 // checkpoints in the bucket that were checked
	Streams     []Stream

	Findings []Finding // ordered by writer and place, at most MaxFindings
	Total    int       // how many there are in all
	Remarks  []string  // what this report does not cover, in words
}

// Err returns nil if the verdict is [VerdictSound] or [VerdictNotAnchored]. An
// error wraps [ErrTampered] and names the first finding, or wraps
// [ErrNotCheckable].
func (r *Report) Err() error {
	switch {
	case r.Total > 0 && len(r.Findings) > 0:
		return fmt.Errorf("%w: %d findings, the first: %s", ErrTampered, r.Total, r.Findings[0])
	case r.Total > 0 || r.Verdict == VerdictTampered:
		return fmt.Errorf("%w: %d findings", ErrTampered, r.Total)
	case r.Verdict == VerdictNotCheckable:
		return fmt.Errorf("%w: nothing that this trail signed was given to compare it with: check the bucket, the prefix or the file", ErrNotCheckable)
	}
	return nil
}

// Unpublished is the number of entries that no published checkpoint covers.
func (r *Report) Unpublished() (n int64) {
	for _, s := range r.Streams {
		n += s.unpublished()
	}
	return n
}
