package proof

// This file implements the check of one writer's log: its beginning, its
// entries and checkpoints, and its end.

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Log checks the log of one writer. Feed it in this order:
//
//   - Anchors: the published objects of the writer, if any.
//   - Frontier: the frontiers, from the largest down, until one is valid.
//   - Entry, Unreadable and Checkpoint: the entries in ascending order of seq,
//     and each checkpoint after the entries that it covers and before the next
//     entry. If checkpoints cover more entries than exist, feed them after the
//     last entry, from the largest down.
//   - Erasure: each erasure order before the first entry that it names.
//   - End.
//   - Published: the published checkpoints, from the largest down.
//
// Erasure is safe for use concurrently with the other methods, and Published
// with itself.
type Log struct {
	c        *Checker
	w        *Writer // nil if the trail does not contain the writer
	odd      error   // the reason if the writer is not certified
	verifier note.Verifier
	stream   Stream

	tree  Tree
	first Tree // the tree at the beginning of the log
	// lost means that the tree no longer equals the writer's tree. Later roots
	// are then not compared, so that one change results in one finding.
	lost    bool
	good    int64 // the size up to which the tree equals the writer's tree
	next    int64 // the position of the next entry
	covered int64 // the size of the last checkpoint

	invalid    []Tree // the trees of frontiers whose order is invalid
	firstExtra string // the ID of the first entry after the last checkpoint

	entries, erased, checkpoints int64

	erasures erasures
	anchors
	inExport bool // erased entries need no order
	line     int  // the line in the export
}

func (l *Log) finding(kind string, seq int64, format string, args ...any) Finding {
	return Finding{Kind: kind, WriterID: l.stream.WriterID, Seq: seq, Last: seq, Detail: fmt.Sprintf(format, args...), Line: l.line}
}

func (l *Log) find(f Finding) { l.c.Find(f) }

// maxSize bounds the size of a log.
const maxSize = 1 << 53

// Frontier reports whether the log begins at a frontier: an order removed the
// entries before size. hashes are those of the tree of that size. checkpoint is
// the writer's checkpoint for that size, or "". odd is the error of reading the
// frontier, or nil. An invalid frontier is a finding.
func (l *Log) Frontier(size int64, hashes []byte, order, checkpoint string, odd error) bool {
	t, err := l.frontier(size, hashes, order, checkpoint, odd)
	if err != nil {
		l.find(l.finding(kindFrontier, size, "the removal of the entries before this one cannot be verified: %v", err))
		if odd == nil && size > 0 && size <= maxSize && len(l.invalid) < 100 {
			l.invalid = append(l.invalid, t)
		}
		return false
	}
	l.start(t)
	return true
}

// start makes the log begin after the entries that t covers.
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
		return t, fmt.Errorf("invalid size %d of a log", size)
	}
	// If the hashes are invalid, use a tree of that size with other hashes.
	t.Hashes = make([]tlog.Hash, bits.OnesCount64(uint64(size)))
	parsed, err := ParseTree(size, hashes)
	if err != nil {
		return t, err
	}
	t = parsed
	text, err := l.c.openOrder(order)
	if err != nil {
		return t, fmt.Errorf("the order to remove them is invalid: %w", err)
	}
	if !isFrontier(text, l.stream.WriterID, &t) {
		return t, errors.New("the order to remove them is for other entries")
	}
	if checkpoint == "" {
		return t, errors.New("no checkpoint covers them")
	}
	if l.verifier == nil {
		return t, nil // the certificate is already a finding
	}
	c, err := openCheckpoint(checkpoint, l.verifier)
	if err != nil {
		return t, fmt.Errorf("the checkpoint that covers them: %w", err)
	}
	if c.size != size || c.root != t.Root() {
		return t, errors.New("the checkpoint that covers them has another root")
	}
	return t, nil
}

// begin makes the log begin with the entry seq if it is the first entry and an
// invalid frontier has this size. The invalid frontier is already a finding.
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
		named(kindLeaf, "the entry was changed: its content hashes to %x, recorded hash %x", leaf[:], e.Leaf[:])
	}
	switch {
	case e.Salt == nil:
		l.erased++
		if e.hasPersonal() {
			named(kindCommitment, "the entry has personal fields, but no salt to verify them")
		} else if !l.inExport && !l.erasures.allow(seq) {
			named(kindErasure, "the personal fields were removed without a valid erasure order")
		}
	case !bytes.Equal(e.commitment(), e.Commitment):
		named(kindCommitment, "the personal fields were changed")
	}
	switch {
	case seq < l.next:
		named(kindSequence, "duplicate entry with seq %d", seq)
		l.lost = true
		return
	case seq > l.next:
		f := l.finding(kindSequence, l.next, "entries are missing: entry %d is followed by entry %d", l.next-1, seq)
		f.Last = seq - 1
		l.find(f)
		l.lost = true
		l.next = seq
	}
	// If the recorded leaf and the computed one differ, the tree no longer
	// equals the writer's tree with either of them.
	l.append(leaf)
	if leaf != e.Leaf {
		l.lost = true
	}
	if l.next == l.covered+1 {
		l.firstExtra = id
	}
}

// append adds a leaf and advances to the next position.
func (l *Log) append(leaf tlog.Hash) {
	l.tree.Append(leaf)
	l.next++
	l.anchors.grow(&l.tree)
}

// Unreadable reports an entry that was not stored by a writer in this form. odd
// is the error of reading it. The entry still occupies its position in the log.
// A negative seq means that the rest of the log cannot be read.
func (l *Log) Unreadable(seq int64, entryID string, odd error) {
	if seq < 0 {
		l.find(l.finding(kindUnreadable, -1, "the log cannot be read: %v", odd))
		l.lost = true
		return
	}
	l.begin(seq)
	f := l.finding(kindUnreadable, seq, "the entry cannot be read: %v", odd)
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

// Checkpoint checks a stored checkpoint of the writer for size entries. odd is
// the error of reading it, or nil.
func (l *Log) Checkpoint(size int64, signed string, odd error) {
	if size > l.next {
		l.beyond(size, signed, odd)
		return
	}
	l.checkpoints++
	from := l.covered
	l.covered, l.firstExtra = size, ""
	if l.verifier == nil {
		return // the certificate is already a finding
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
		f := l.finding(kindRoot, l.good, "at least one of these entries was changed: the writer signed the root %s, the entries give %s", c.root, root)
		f.Last = size - 1
		if c.size != size {
			f.Detail = fmt.Sprintf("the checkpoint stored for %d entries covers %d", size, c.size)
		}
		l.find(f)
		l.lost = true
		return
	}
	l.good = size
}

func (l *Log) open(signed string, odd error) (checkpoint, error) {
	if odd != nil {
		return checkpoint{}, fmt.Errorf("unreadable row: %w", odd)
	}
	return openCheckpoint(signed, l.verifier)
}

// beyond checks a checkpoint that covers more entries than exist.
func (l *Log) beyond(size int64, signed string, odd error) {
	if l.verifier != nil && l.covered <= l.next { // no earlier checkpoint beyond the entries is known to be valid
		c, err := l.open(signed, odd)
		if err == nil && c.size != size {
			err = fmt.Errorf("it covers %d entries", c.size)
		}
		if err != nil {
			l.find(l.finding(kindSignature, -1, "the writer did not sign the checkpoint stored for %d entries, more than there are: %v", size, err))
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
		f := l.finding(kindUnsigned, l.covered, "unsigned entries: the last checkpoint covers %d of %d entries", l.covered, l.next)
		f.Last, f.EntryID = l.next-1, l.firstExtra
		l.find(f)
	}
	l.report()
}

// report adds the log to the report.
func (l *Log) report() {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.c.logs = append(l.c.logs, l)
}

// cut reports that entries are missing at the end of the log. The remaining
// entries after the last verified root are uncertain too, because they could
// have been renumbered.
func (l *Log) cut(how string, size int64) {
	f := l.finding(kindCut, min(l.good, l.next), "the log was cut off: the writer %s a checkpoint for %d entries, found %d", how, size, l.next)
	if l.good < l.next {
		f.Detail += fmt.Sprintf("; entries %d to %d could have been replaced by others", l.good, l.next-1)
	}
	f.Last = size - 1
	l.find(f)
}

// erasures are the orders that may name entries still to be fed.
type erasures struct {
	mu     sync.Mutex // orders may be fed while entries are checked
	active [][]span
}

// Erasure feeds an erasure order of the operation opID. first is the seq of its
// first entry. odd is the error of reading the order, or nil. An invalid order
// is a finding.
func (l *Log) Erasure(first int64, opID, order string, odd error) {
	spans, err := l.erasure(first, opID, order, odd)
	if err != nil {
		l.find(l.finding(kindErasure, first, "invalid erasure order %.64q: %v", opID, err))
		return
	}
	l.erasures.mu.Lock()
	defer l.erasures.mu.Unlock()
	l.erasures.active = append(l.erasures.active, spans)
}

func (l *Log) erasure(first int64, opID, order string, odd error) ([]span, error) {
	if odd != nil {
		return nil, fmt.Errorf("unreadable row: %w", odd)
	}
	text, err := l.c.openOrder(order)
	if err != nil {
		return nil, err
	}
	spans, err := parseErasure(text, opID, l.stream.WriterID)
	if err == nil && spans[0].first != first {
		err = errors.New("the order begins with another entry")
	}
	return spans, err
}

// allow reports whether an order names the entry. It must be called in
// ascending order of seq.
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
