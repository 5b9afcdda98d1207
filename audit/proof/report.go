package proof

// This file implements the report of a check.

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrTampered reports that a trail, an export or a proof was changed.
	ErrTampered = errors.New("proof: the trail was changed")
	// ErrNotCheckable reports that there is nothing signed by the trail to
	// check it with.
	ErrNotCheckable = errors.New("proof: the trail cannot be checked")
)

// Verdict summarizes a [Report].
type Verdict string

// These are the verdicts. A program can use [Verdict.ExitCode] to report one.
const (
	// VerdictSound means that there are no findings, and that published
	// checkpoints or the end of the export confirm this.
	VerdictSound Verdict = "sound"
	// VerdictTampered means that there is at least one finding.
	VerdictTampered Verdict = "tampered"
	// VerdictNotCheckable means that there are no findings, but that the bucket
	// contains no checkpoint of this trail below the prefix. The prefix or the
	// bucket is wrong, nothing was published yet, or the writers of the trail
	// were removed. A file without an export also has this verdict.
	VerdictNotCheckable Verdict = "not checkable"
	// VerdictNotAnchored means that there are no findings, but that no bucket
	// was given, or that an export has no end. The last entries may be missing.
	VerdictNotAnchored Verdict = "sound, but not anchored"
)

// ExitCode returns 0 for [VerdictSound], 1 for [VerdictTampered], 3 for
// [VerdictNotAnchored], and 2 for any other verdict.
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

// These are the kinds of findings. [Finding] documents them.
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

// Finding is a difference between the trail and its proof. Kind is one of these
// words:
//
//	unreadable   a row or line does not have the form of the trail
//	leaf         the leaf of an entry is not the hash of its content
//	commitment   personal fields do not match the commitment of their entry
//	erasure      personal fields are missing without a valid order
//	sequence     entries are missing, or several have the same position
//	root         entries differ from those signed by the writer
//	unsigned     entries after the last signed position
//	cut          the writer signed more entries than there are
//	signature    a checkpoint is not signed by its writer
//	certificate  no trusted key certifies the writer
//	writer       a writer is missing
//	frontier     the beginning of a log is missing without a valid order
//	intent       no certified writer signed an open intent
//	published    a published checkpoint and the database disagree
type Finding struct {
	Kind     string
	WriterID string // "" if the finding concerns no single writer
	// Seq is the position of the entry, or of the first of several, in its
	// writer's log. It is -1 if the finding concerns the writer.
	Seq     int64
	Last    int64  // the last of several entries; otherwise equal to Seq
	EntryID string // "" if the entry is missing or unknown
	Detail  string // the expected and the actual state, in words
	Line    int    // the line in an export; otherwise 0
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
	First       int64 // the seq of the first entry; earlier entries were removed or are not in the export
	Size        int64 // the number of entries, including those before First
	Signed      int64 // the number of entries covered by the last stored checkpoint
	Published   int64 // the number of entries covered by the last published checkpoint
}

// unpublished returns the number of entries at the end of the log without a
// published checkpoint. The owner of the database could cut them off unnoticed.
func (s Stream) unpublished() int64 { return max(0, s.Size-max(s.Published, s.First)) }

// Report is the result of checking a trail or an export. Without Findings, the
// trail is unchanged. Remarks lists the limits of the check.
type Report struct {
	// Verdict is the result in a word.
	Verdict Verdict

	Entries     int64 // the number of entries checked
	Erased      int64 // the number of entries without personal fields
	Checkpoints int64
	Published   int64 // the number of published checkpoints checked
	Streams     []Stream

	Findings []Finding // ordered by writer and position, at most MaxFindings
	Total    int       // the total number of findings
	Remarks  []string  // the limits of this report, in words
}

// Err returns nil if the verdict is [VerdictSound] or [VerdictNotAnchored].
// Otherwise, it returns an error that wraps [ErrNotCheckable], or that wraps
// [ErrTampered] and names the first finding.
func (r *Report) Err() error {
	switch {
	case r.Total > 0 && len(r.Findings) > 0:
		return fmt.Errorf("%w: %d findings, first: %s", ErrTampered, r.Total, r.Findings[0])
	case r.Total > 0 || r.Verdict == VerdictTampered:
		return fmt.Errorf("%w: %d findings", ErrTampered, r.Total)
	case r.Verdict == VerdictNotCheckable:
		return fmt.Errorf("%w: found nothing signed by this trail: check the bucket, the prefix or the file", ErrNotCheckable)
	}
	return nil
}

// Unpublished returns the number of entries without a published checkpoint.
func (r *Report) Unpublished() (n int64) {
	for _, s := range r.Streams {
		n += s.unpublished()
	}
	return n
}
