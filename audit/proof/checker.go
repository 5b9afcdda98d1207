package proof

// This file implements the parts of a check that all logs of a trail share: the
// keys, the signers of orders, and the report.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/note"
)

// Checker checks a trail that is fed to it log by log. It performs no I/O. It
// is safe for concurrent use; each [Log] has its own rules.
type Checker struct {
	keys []note.Verifier
	max  int

	mu         sync.Mutex
	found      Report
	logs       []*Log
	signers    map[string]signer
	anchored   bool  // a published checkpoint belongs to this trail
	unverified int64 // published objects without a signature of a writer of this trail
}

// signer states whether a writer may sign orders.
type signer struct {
	v   note.Verifier
	err error
}

// NewChecker returns a checker. It counts all findings, and reports at most
// maxFindings of them. keys are the verifier keys that may certify writers.
// Without keys, every writer certifies itself.
func NewChecker(maxFindings int, keys ...string) (*Checker, error) {
	verifiers, err := ParseKeys(keys...)
	if err != nil {
		return nil, err
	}
	return &Checker{keys: verifiers, max: maxFindings, signers: make(map[string]signer)}, nil
}

// Find adds a finding of the caller, such as data that cannot be read.
func (c *Checker) Find(f Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found.Total++
	if len(c.found.Findings) < c.max {
		c.found.Findings = append(c.found.Findings, f)
	}
}

// Log begins the check of one writer's log. w is nil if the trail does not
// contain the writer. odd is the error of reading its row, or nil. If the
// writer's certificate is valid, the checker accepts orders signed by the
// writer from now on. A log that is never fed is not part of the report.
func (c *Checker) Log(id string, w *Writer, odd error) *Log {
	l := &Log{c: c, w: w, odd: odd, stream: Stream{WriterID: id}}
	s := signer{err: errors.New("the writer is not in the database")}
	if w != nil {
		l.stream.Origin, l.stream.StartedAt = w.Origin, w.StartedAt
		if odd == nil {
			l.verifier, l.stream.CertifiedBy, l.odd = w.Certified(c.keys...)
		}
		s = signer{l.verifier, l.odd}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signers[id] = s
	return l
}

// Signer returns the ID of the writer that an order claims as its signer. It
// returns "" if the checker already knows this writer. Otherwise, pass the
// writer to [Checker.Log] before feeding the order.
func (c *Checker) Signer(order string) (writerID string) {
	id, err := signerOf(order)
	if err != nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.signers[id]; known {
		return ""
	}
	return id
}

// openOrder returns the text of an order, signed by a certified writer.
func (c *Checker) openOrder(order string) (string, error) {
	id, err := signerOf(order)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	s, known := c.signers[id]
	c.mu.Unlock()
	if !known {
		s.err = errors.New("unknown writer")
	}
	if s.err != nil {
		return "", fmt.Errorf("signed by writer %s: %w", id, s.err)
	}
	return openNote(order, s.v)
}

// Report returns the result. published means that the caller looked for
// published checkpoints. Feed nothing after calling Report.
func (c *Checker) Report(published bool) *Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.found
	for _, l := range c.logs {
		r.Entries += l.entries
		r.Erased += l.erased
		r.Checkpoints += l.checkpoints
		r.Published += l.published
		r.Streams = append(r.Streams, l.stream)
	}
	slices.SortFunc(r.Streams, func(a, b Stream) int { return cmp.Compare(a.WriterID, b.WriterID) })
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.WriterID, b.WriterID), cmp.Compare(a.Seq, b.Seq))
	})
	c.remark(published)
	switch {
	case r.Total > 0:
		r.Verdict = VerdictTampered
	case !published:
		r.Verdict = VerdictNotAnchored
	case !c.anchored:
		r.Verdict = VerdictNotCheckable
	default:
		r.Verdict = VerdictSound
	}
	return r
}

// remark adds the limits of the check to the report.
func (c *Checker) remark(published bool) {
	add := func(format string, args ...any) {
		c.found.Remarks = append(c.found.Remarks, fmt.Sprintf(format, args...))
	}
	if len(c.keys) == 0 {
		add("No deployment key was given, so each writer certifies itself. An attacker who can write to the database could have replaced writers; only published checkpoints would reveal this. A replaced writer could also have ordered entries to be erased or removed; nothing would reveal this.")
	}
	if !published {
		add("No bucket was given. This check cannot detect that the end of a log was cut off, that whole writers were removed, or that the database is an older copy.")
		return
	}
	add("Entries after the last published checkpoint of their writer could have been cut off undetected. The trail has %d entries after these checkpoints.", c.found.Unpublished())
	if c.unverified > 0 {
		add("%d objects of the bucket were ignored: no writer of this trail signed them, or none of the given keys certifies their writer.", c.unverified)
	}
}
