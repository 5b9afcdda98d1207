package proof

// This file implements the check of one writer's log: where it begins, its
// entries and checkpoints, and where it ends.

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Log checks the log of one writer. Feed it, in this order:
//
//   - Anchors: what the writer published, if anything.
//   - Frontier: the frontiers, the largest first, until one is valid.
//   - Entry, Unreadable and Checkpoint: the entries in ascending order of seq, and
//     each checkpoint after the entries that it covers and before the next. Feed
//     checkpoints of more entries than there are after the last entry, the
//     largest first.
//   - Erasure: each order of erasure before the first entry that it names.
//   - End.
//   - Published: the published checkpoints, the largest first.
//
// Erasure may be called concurrently with the others, and Published with itself.
type Log struct {
	c        *Checker
	w        *Writer // nil if the trail does not know the writer
	odd      error   // why the writer is not certified
	verifier note.Verifier
	stream   Stream

	tree  Tree
	first Tree // the tree that the log began with
	// lost is set once the tree can't be that of the writer any more, so that
	// one change is one finding.
	lost    bool
	good    int64 // the size up to which the tree is known to be the writer's
	next    int64 // the position of the next entry
	covered int64 // the size of the last checkpoint

	invalid    []Tree // of the frontiers that are not valid
	firstExtra string // the ID of the first entry beyond the last checkpoint

	entries, erased, checkpoints int64

	erasures erasures
	anchors
	inExport bool // erased entries need no order
	line     int  // of the export
}

func (l *Log) finding(kind string, seq int64, format string, args ...any) Finding {
	return Finding{Kind: kind, WriterID: l.stream.WriterID, Seq: seq, Last: seq, Detail: fmt.Sprintf(format, args...), Line: l.line}
}

func (l *Log) find(f Finding) { l.c.Find(f) }

// maxSize is more than any log has entries.
const maxSize = 1 << 53

// Frontier reports whether the log begins at a frontier: entries before size were
// removed by order. hashes are those of the tree of that size, checkpoint is the
// writer's own for that size, or "", and odd says why the frontier
// can't be read. A frontier that is not valid is a finding.
func (l *Log) Frontier(size int64, hashes []byte, order, checkpoint string, odd error) bool {
	t, err := l.frontier(size, hashes, order, checkpoint, odd)
	if err != nil {
		l.find(l.finding(kindFrontier, size, "the entries before this one are said to be gone: %v", err))
		if odd == nil && size > 0 && size <= maxSize && len(l.invalid) < 100 {
			l.invalid = append(l.invalid, t)
		}
		return false
	}
	l.start(t)
	return true
}

// start has the log begin after the entries that t covers.
func (l *Log) start(t Tree) {
	l.tree, l.first = t, t.Clone()
	l.stream.First, l.next, l.good, l.covered = t.Size, t.Size, t.Size, t.Size
}

func (l *Log) frontier(size int64, hashes []byte, order, checkpoint string, odd error) (Tree, error) {
	t := Tree{Size: size}
	if odd != nil {
		return t, odd
	}
	if size < 1 || size > maxSize {
		return t, fmt.Errorf("no log has %d entries", size)
	}
	// Without the right hashes, with those of some tree of that size.
	t.Hashes = make([]tlog.Hash, bits.OnesCount64(uint64(size)))
	parsed, err := ParseTree(size, hashes)
	if err != nil {
		return t, err
	}
	t = parsed
	text, err := l.c.openOrder(order)
	if err != nil {
		return t, fmt.Errorf("the order to remove them is not valid: %w", err)
	}
	if !isFrontier(text, l.stream.WriterID, &t) {
		return t, errors.New("the order to remove them is for other entries")
	}
	if checkpoint == "" {
		return t, errors.New("no checkpoint says what they were")
	}
	if l.verifier == nil {
		return t, nil // the certificate is a finding already
	}
	c, err := openCheckpoint(checkpoint, l.verifier)
	if err != nil {
		return t, fmt.Errorf("the checkpoint that says what they were: %w", err)
	}
	if c.size != size || c.root != t.Root() {
		return t, errors.New("the checkpoint that says what they were has another root")
	}
	return t, nil
}

// begin has the log begin with the entry seq, which is its first, if one of the
// frontiers that are not valid says so. That it is not valid was reported.
func (l *Log) begin(seq int64) {
	for _, t := range l.invalid {
		if l.next == 0 && l.entries == 0 && t.Size == seq {
			l.start(t)
			l.lost = true
		}
	}
}

// Entry checks an entry and adds it to the tree.
func (l *Log) Entry(e *Entry) {
	seq, id := e.seq(), e.text(idColumn)
	l.begin(seq)
	l.entries++
	named := func(kind string, format string, args ...any) {
		f := l.finding(kind, seq, format, args...)
		f.EntryID = id
		l.find(f)
	}
	leaf := tlog.RecordHash(e.Canonical(make([]byte, 0, 1024)))
	if leaf != e.Leaf {
		named(kindLeaf, "its content has the hash %x, but %x was recorded: the entry was changed", leaf[:], e.Leaf[:])
	}
	switch {
	case e.Salt == nil:
		l.erased++
		if e.hasPersonal() {
			named(kindCommitment, "it has personal fields, but not the salt to check them with")
		} else if !l.inExport && !l.erasures.allow(seq) {
			named(kindErasure, "its personal fields are gone, and no valid order of erasure names it")
		}
	case !bytes.Equal(e.commitment(), e.Commitment):
		named(kindCommitment, "its personal fields are not those that were recorded")
	}
	switch {
	case seq < l.next:
		named(kindSequence, "a second entry in place %d", seq)
		l.lost = true
		return
	case seq > l.next:
		f := l.finding(kindSequence, l.next, "missing: after entry %d follows entry %d", l.next-1, seq)
		f.Last = seq - 1
		l.find(f)
		l.lost = true
		l.next = seq
	}
	// The recorded leaf, or the one that its content gives: either way the
	// tree is not the writer's any more if they differ.
	l.append(leaf)
	if leaf != e.Leaf {
		l.lost = true
	}
	if l.next == l.covered+1 {
		l.firstExtra = id
	}
}

// append moves on to the next position.
func (l *Log) append(leaf tlog.Hash) {
	l.tree.Append(leaf)
	l.next++
	l.anchors.grow(&l.tree)
}

// Unreadable reports an entry that is not stored as a writer stores one; odd says
// why. It has its position in the log all the same. With a negative seq it reports
// that the rest of the log can't be read.
func (l *Log) Unreadable(seq int64, entryID string, odd error) {
	if seq < 0 {
		l.find(l.finding(kindUnreadable, -1, "the log can't be read as it was written: %v", odd))
		l.lost = true
		return
	}
	l.begin(seq)
	f := l.finding(kindUnreadable, seq, "the entry is not stored as it was written: %v", odd)
	if isUUID(entryID) {
		f.EntryID = entryID
	}
	l.find(f)
	l.entries++
	l.lost = true
	if seq == l.next {
		l.append(tlog.Hash{})
	}
}

// Checkpoint checks one that the writer signed for size entries. odd says why it
// can't be read.
func (l *Log) Checkpoint(size int64, signed string, odd error) {
	if size > l.next {
		l.beyond(size, signed, odd)
		return
	}
	l.checkpoints++
	from := l.covered
	l.covered, l.firstExtra = size, ""
	if l.verifier == nil {
		return // the certificate is a finding already
	}
	c, err := l.open(signed, odd)
	if err != nil {
		f := l.finding(kindSignature, from, "the checkpoint at %d is not signed by its writer: %v", size, err)
		f.Last = size - 1
		l.find(f)
		return
	}
	if l.lost {
		return
	}
	root := l.tree.Root()
	if size != l.tree.Size || c.size != size || c.root != root {
		f := l.finding(kindRoot, l.good, "the writer signed the root %s for these entries, they give %s: at least one of them was changed", c.root, root)
		f.Last = size - 1
		if c.size != size {
			f.Detail = fmt.Sprintf("the checkpoint stored for %d entries is for %d", size, c.size)
		}
		l.find(f)
		l.lost = true
		return
	}
	l.good = size
}

func (l *Log) open(signed string, odd error) (checkpoint, error) {
	if odd != nil {
		return checkpoint{}, fmt.Errorf("its row %w", odd)
	}
	return openCheckpoint(signed, l.verifier)
}

// beyond checks a checkpoint of more entries than there are.
func (l *Log) beyond(size int64, signed string, odd error) {
	if l.verifier != nil && l.covered <= l.next { // no other one is known to be good
		c, err := l.open(signed, odd)
		if err == nil && c.size != size {
			err = fmt.Errorf("it is for %d entries", c.size)
		}
		if err != nil {
			l.find(l.finding(kindSignature, -1, "the checkpoint stored for %d entries, which are not there, is not one that its writer signed: %v", size, err))
			return
		}
	}
	l.covered = max(l.covered, size)
}

// End ends the entries.
func (l *Log) End() {
	if l.odd != nil {
		l.find(l.finding(kindCertificate, -1, "%v", l.odd))
	}
	l.stream.Size, l.stream.Signed = l.next, min(l.covered, l.next)
	switch {
	case l.covered > l.next:
		l.cut("signed", l.covered)
	case l.covered < l.next:
		f := l.finding(kindUnsigned, l.covered, "nobody signed them: the last checkpoint covers %d of %d entries", l.covered, l.next)
		f.Last, f.EntryID = l.next-1, l.firstExtra
		l.find(f)
	}
	l.report()
}

// report has the log appear in the report.
func (l *Log) report() {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.c.logs = append(l.c.logs, l)
}

// cut reports that there are fewer entries than the writer said. After the last
// root that is right, those that are gone could be any: the others could have
// been renumbered.
func (l *Log) cut(how string, size int64) {
	f := l.finding(kindCut, min(l.good, l.next), "cut off: the writer %s that it had %d entries, there are %d", how, size, l.next)
	if l.good < l.next {
		f.Detail += fmt.Sprintf("; entries %d to %d can't be told from others in their place", l.good, l.next-1)
	}
	f.Last = size - 1
	l.find(f)
}

// erasures are the orders that may name the entries to come.
type erasures struct {
	mu     sync.Mutex // orders may be fed while entries are checked
	active [][]span
}

// Erasure feeds an order of erasure of the operation opID, whose first entry is
// first. odd says why it can't be read. An order that is not valid is a finding.
func (l *Log) Erasure(first int64, opID, order string, odd error) {
	spans, err := l.erasure(first, opID, order, odd)
	if err != nil {
		l.find(l.finding(kindErasure, first, "the order of erasure %.64q is not valid: %v", opID, err))
		return
	}
	l.erasures.mu.Lock()
	defer l.erasures.mu.Unlock()
	l.erasures.active = append(l.erasures.active, spans)
}

func (l *Log) erasure(first int64, opID, order string, odd error) ([]span, error) {
	if odd != nil {
		return nil, fmt.Errorf("its row %w", odd)
	}
	text, err := l.c.openOrder(order)
	if err != nil {
		return nil, err
	}
	spans, err := parseErasure(text, opID, l.stream.WriterID)
	if err == nil && spans[0].first != first {
		err = errors.New("it begins with another entry")
	}
	return spans, err
}

// allow reports whether an order names the entry. Entries are asked for in
// ascending order.
func (e *erasures) allow(seq int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	named := false
	kept := e.active[:0]
	for _, spans := range e.active {
		for len(spans) > 0 && spans[0].last < seq {
			spans = spans[1:]
		}
		named = named || len(spans) > 0 && spans[0].first <= seq
		if len(spans) > 0 {
			kept = append(kept, spans)
		}
	}
	clear(e.active[len(kept):])
	e.active = kept
	return named
}
