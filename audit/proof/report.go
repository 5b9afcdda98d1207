package proof

// This file implements the report of a check.

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrTampered is wrapped by [Report.Err].
	ErrTampered = errors.New("proof: the trail is not as it was recorded")
	// ErrNotCheckable is wrapped by [Report.Err] if the bucket has nothing that
	// this trail published.
	ErrNotCheckable = errors.New("proof: the trail can't be checked")
)

// Verdict is the result of [Verify] in a word.
type Verdict string

// The verdicts. A program that reports one by its exit code uses
// [Verdict.ExitCode].
const (
	// VerdictSound means that nothing was found, and that published checkpoints
	// agree with the database.
	VerdictSound Verdict = "sound"
	// VerdictTampered means that at least one finding was made.
	VerdictTampered Verdict = "tampered"
	// VerdictNotCheckable means that nothing was found in the database, but
	// that the bucket, below the prefix, has no checkpoint that this trail
	// published. The prefix or the bucket is the wrong one, nothing was
	// published yet, or the writers of the trail were removed.
	VerdictNotCheckable Verdict = "not checkable"
	// VerdictNotAnchored means that nothing was found in the database, and that
	// no bucket was given to compare it with.
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

// Kind says what is wrong with an entry or a writer.
type Kind string

const (
	KindUnreadable  Kind = "unreadable"  // a row holds what no entry can
	KindLeaf        Kind = "leaf"        // the content of an entry is not what its leaf is the hash of
	KindCommitment  Kind = "commitment"  // personal fields are not what was committed to
	KindErasure     Kind = "erasure"     // personal fields are gone, and nobody who may ordered it
	KindSequence    Kind = "sequence"    // entries are missing, or more than one has the same place
	KindRoot        Kind = "root"        // entries are not those that the writer signed
	KindUnsigned    Kind = "unsigned"    // entries beyond what the writer signed
	KindCut         Kind = "cut"         // the writer signed more entries than there are
	KindSignature   Kind = "signature"   // a checkpoint is not signed by its writer
	KindCertificate Kind = "certificate" // the writer's key is vouched for by nobody who may
	KindWriter      Kind = "writer"      // a writer is missing
	KindFrontier    Kind = "frontier"    // the beginning of a log is gone, and nobody who may ordered it
	KindIntent      Kind = "intent"      // an open intent that no certified writer signed
	KindPublished   Kind = "published"   // a published checkpoint and the database disagree
)

// Finding is one thing that is not as it was recorded.
type Finding struct {
	Kind     Kind
	WriterID string // "" if it concerns no writer in particular
	// Seq is the place of the entry, or of the first of several, in the log of
	// its writer; -1 if it concerns the writer.
	Seq     int64
	Last    int64  // the last of several; else equal to Seq
	EntryID string // "" if the entry is gone or not known
	Detail  string // what was expected and what was found, in words
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
	// CertifiedBy is the name of the key, of those in [VerifyOptions.Keys],
	// that vouches for the writer's key; "" if none does.
	CertifiedBy string
	First       int64 // entries before this one were exported and removed
	Size        int64 // the number of entries, with those that were removed
	Signed      int64 // how many of them the last stored checkpoint covers
	Published   int64 // how many of them the last published checkpoint covers
}

// unpublished is the number of entries at the end of the log that no published
// checkpoint covers. Whoever owns the database could cut them off unseen.
func (s Stream) unpublished() int64 { return max(0, s.Size-max(s.Published, s.First)) }

// Report is what [Verify] found. It has no Findings if the trail is as it was
// recorded, as far as can be seen: Remarks says what can't be.
type Report struct {
	// Verdict is the result in a word.
	Verdict Verdict

	Entries     int64 // that were checked
	Erased      int64 // of these, without personal fields
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
