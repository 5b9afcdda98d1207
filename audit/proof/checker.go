package proof

// This file implements what all logs of a trail have in common when they are
// checked: the keys, the signers of orders, and the report.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/note"
)

// Checker checks a trail that is fed to it log by log. It does no I/O, and may be
// used concurrently; each [Log] has its own rules.
type Checker struct {
	keys []note.Verifier
	max  int

	mu         sync.Mutex
	found      Report
	logs       []*Log
	signers    map[string]signer
	anchored   bool  // a published checkpoint is one of this trail
	unverified int64 // published objects that no writer of this trail signed
}

// signer is whether a writer may sign orders.
type signer struct {
	v   note.Verifier
	err error
}

// NewChecker returns a checker that reports at most maxFindings findings, and
// counts all. keys are the verifier keys that may certify writers. Without any,
// every writer vouches for itself.
func NewChecker(maxFindings int, keys ...string) (*Checker, error) {
	verifiers, err := ParseKeys(keys...)
	if err != nil {
		return nil, err
	}
	return &Checker{keys: verifiers, max: maxFindings, signers: make(map[string]signer)}, nil
}

// Find adds a finding of the caller, who could not read what it wants to feed.
func (c *Checker) Find(f Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found.Total++
	if len(c.found.Findings) < c.max {
		c.found.Findings = append(c.found.Findings, f)
	}
}

// Log begins the check of the log of one writer. w is nil if the trail does not
// know the writer, and odd says why its row can't be read. From then on, orders
// that the writer signed are accepted if its certificate is good. A log that is
// never fed is not part of the report.
func (c *Checker) Log(id string, w *Writer, odd error) *Log {
	l := &Log{c: c, w: w, odd: odd, stream: Stream{WriterID: id}}
	s := signer{err: errors.New("its writer is not in the database")}
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

// Signer returns the ID of the writer that claims to have signed an order, if the
// checker does not know that writer yet; otherwise "". Feed it to [Checker.Log]
// before the order.
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

// openOrder returns the text of an order that a certified writer signed.
func (c *Checker) openOrder(order string) (string, error) {
	id, err := signerOf(order)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	s, known := c.signers[id]
	c.mu.Unlock()
	if !known {
		s.err = errors.New("its writer is not known")
	}
	if s.err != nil {
		return "", fmt.Errorf("it is signed by writer %s: %w", id, s.err)
	}
	return openNote(order, s.v)
}

// Report returns the result. published says that published checkpoints were
// looked for. Nothing may be fed afterwards.
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

// remark says what the report can't know.
func (c *Checker) remark(published bool) {
	add := func(format string, args ...any) {
		c.found.Remarks = append(c.found.Remarks, fmt.Sprintf(format, args...))
	}
	if len(c.keys) == 0 {
		add("No deployment key was given: each writer vouches for itself. An attacker who can write to the database could have replaced writers by others; only published checkpoints would show that. Such a writer could also have ordered entries to be erased or removed; nothing would show that.")
	}
	if !published {
		add("No bucket was given: the end of a log may have been cut off, writers may have been removed whole, or the database may be an older copy, and nothing here would show it.")
		return
	}
	add("What was recorded after the last published checkpoint of its writer could have been cut off unseen; %d entries that are there are that new.", c.found.Unpublished())
	if c.unverified > 0 {
		add("%d objects of the bucket were left out: no writer of this trail signed them, or no key that was given certifies their writer.", c.unverified)
	}
}
