package proof

// This file implements the check of exports.

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// maxLine bounds the bytes of a line. Every entry is shorter.
const maxLine = 1 << 20

// VerifyExport checks the entries exported by a purge: each entry, the tree of
// each writer up to each checkpoint, the signatures, and that no line is
// missing. keys are the verifier keys that may certify writers. r may contain
// several exports. VerifyExport returns an error if it cannot read r or if keys
// is empty. Everything else is a finding in the report, with its line.
//
// Entries without personal fields are valid: the fields were erased before the
// purge, or removed from the export, which the proof of the entry permits.
// Entries that were exported again after an interrupted purge are also valid,
// and are counted each time.
//
// An export without an end results in a remark, and the verdict is at best
// [VerdictNotAnchored]. Either the purge was interrupted, or the end was cut
// off. If r contains no export, the verdict is [VerdictNotCheckable].
//
// VerifyExport cannot detect that a whole export is missing. To detect it,
// compare Stream.First and Stream.Size of the report with Stream.First of a
// report of the trail.
//
// Memory use is limited by the length of a line and the number of writers that
// the keys certify.
func VerifyExport(r io.Reader, keys ...string) (*Report, error) {
	c, err := NewChecker(1000, keys...)
	if err != nil {
		return nil, err
	}
	if len(c.keys) == 0 {
		return nil, errors.New("proof: VerifyExport: no verifier key: pass the verifier key of the deployment")
	}
	x := &exportCheck{c: c, logs: make(map[string]*exportLog)}
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrTooLong) {
			return nil, fmt.Errorf("proof: reading an export: %w", err)
		}
		x.line++
		if err != nil {
			x.find(kindUnreadable, "the line is cut off or too long")
			x.spoil()
			continue
		}
		x.check(line)
	}
	return x.report(), nil
}

// readLine returns the next line with its end. If the line is too long,
// readLine skips it and returns an error.
func readLine(in *bufio.Reader) (line []byte, err error) {
	tooLong := false
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			tooLong, line = true, line[:0]
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err == nil && tooLong {
			err = bufio.ErrTooLong
		}
		return line, err
	}
}

// exportCheck checks the exports of a file.
type exportCheck struct {
	c    *Checker
	line int
	logs map[string]*exportLog // the logs of certified writers, by ID
	at   *exportLog            // the log of the current writer; nil if its entries cannot be checked

	begun   bool // an export has begun and not ended
	opID    string
	digest  digest
	before  int // the number of findings when the export began
	exports int
	open    int // the number of exports without an end
}

// exportLog is the log of a writer up to the last exported entry.
type exportLog struct {
	*Log
	end Tree // the largest tree so far
}

func (x *exportCheck) find(kind string, format string, args ...any) {
	f := Finding{Kind: kind, Seq: -1, Last: -1, Detail: fmt.Sprintf(format, args...), Line: x.line}
	if x.at != nil {
		f.WriterID = x.at.stream.WriterID
	}
	x.c.Find(f)
}

// spoil marks the tree of the current writer as not comparable.
func (x *exportCheck) spoil() {
	if x.at != nil {
		x.at.lost = true
	}
}

// check checks a line.
func (x *exportCheck) check(text []byte) {
	var l exportLine
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(&l)
	if err == nil {
		// A line has only one valid encoding. Otherwise, readers could
		// interpret it differently, for example if a name appears twice.
		var again []byte
		if again, err = l.encode(); err == nil && !bytes.Equal(again, text) {
			err = errors.New("its encoding differs from that of an export")
		}
	}
	if err != nil {
		x.find(kindUnreadable, "the line does not belong to an export: %v", err)
		x.spoil()
		return
	}
	if l.Export == nil && !x.begun {
		x.find(kindUnreadable, "the line precedes the beginning of an export")
		x.begin("")
	}
	if l.End == nil && l.Export == nil {
		x.digest.add(text)
	}
	switch {
	case l.Export != nil:
		x.leave()
		if x.begun {
			x.open++
		}
		x.begin(l.Export.OpID)
		x.digest.add(text)
		if l.Export.Version != exportVersion {
			x.find(kindUnreadable, "unsupported version %d of the export: want %d", l.Export.Version, exportVersion)
		}
	case l.Writer != nil:
		x.leave()
		x.writer(l.Writer)
	case l.End != nil:
		x.leave()
		x.end(l.End)
	case x.at == nil:
		// Usually, the line of its writer is already a finding.
		if x.c.total() == x.before {
			x.find(kindUnreadable, "the line does not follow the line of a writer")
		}
	case l.Checkpoint != "":
		x.at.line = x.line
		x.at.Checkpoint(x.at.next, l.Checkpoint, nil)
		x.reached()
	default:
		x.at.line = x.line
		x.entry(&l)
	}
}

func (c *Checker) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found.Total
}

func (x *exportCheck) begin(opID string) {
	x.begun, x.opID, x.digest, x.before, x.at = true, opID, digest{hash: sha256.New()}, x.c.total(), nil
	x.exports++
}

// leave ends the entries of the current writer.
func (x *exportCheck) leave() {
	if x.at == nil {
		return
	}
	if n := x.at.next; x.at.covered < n {
		f := x.at.finding(kindUnsigned, x.at.covered, "no checkpoint of the export covers these entries")
		f.Last, f.Line = n-1, x.line
		x.c.Find(f)
	}
	x.at = nil
}

// reached records the size of the log at a checkpoint.
func (x *exportCheck) reached() {
	l := x.at
	if l.next <= l.end.Size {
		return // these entries were exported again
	}
	l.end, l.stream.Size = l.tree.Clone(), l.next
	if l.good == l.next {
		l.stream.Signed = l.next
	}
	if l.lost {
		l.end = Tree{Size: l.next} // its hashes differ from those of the writer
	}
}

// writer begins the entries of a writer.
func (x *exportCheck) writer(w *exportWriter) {
	parsed, err := parseWriter(w.Certificate)
	if err == nil && (parsed.ID != w.ID || parsed.Origin != w.Origin) {
		err = errors.New("the certificate is for another writer or origin")
	}
	if err == nil {
		_, _, err = parsed.Certified(x.c.keys...)
	}
	if err != nil {
		x.find(kindCertificate, "the writer of the following entries is not trusted: %v", err)
		return
	}
	start, err := ParseTree(w.From, hashBytes(w.Hashes))
	if err != nil || w.From > maxSize {
		x.find(kindFrontier, "the start of the following entries is not a valid position of a log: %v", err)
		return
	}
	l := x.logs[w.ID]
	if l == nil {
		l = &exportLog{Log: x.c.Log(w.ID, parsed, nil), end: start}
		l.inExport, l.line = true, x.line
		l.report()
		l.start(start)
		l.stream.Size, l.stream.Signed = start.Size, start.Size
		x.logs[w.ID], x.at = l, l
		return
	}
	l.line = x.line
	switch {
	case start.Size > l.end.Size:
		f := l.finding(kindSequence, l.end.Size, "entries are missing: the export continues with entry %d", start.Size)
		f.Last = start.Size - 1
		x.c.Find(f)
	case start.Size == l.end.Size && l.end.Hashes != nil && !slices.Equal(start.Hashes, l.end.Hashes):
		x.c.Find(l.finding(kindRoot, start.Size, "the export does not continue the entries before it"))
	case start.Size < l.stream.First:
		x.c.Find(l.finding(kindSequence, start.Size, "the export returns to entries before its first entry %d", l.stream.First))
	}
	first := l.stream.First
	l.start(start)
	l.stream.First, l.lost, x.at = first, false, l
}

func hashBytes(hashes []tlog.Hash) []byte {
	out := make([]byte, 0, len(hashes)*tlog.HashSize)
	for i := range hashes {
		out = append(out, hashes[i][:]...)
	}
	return out
}

// entry checks an entry of the current writer.
func (x *exportCheck) entry(line *exportLine) {
	l := x.at
	e, err := parseCanonical(line.Entry)
	leaf, errLeaf := hex.DecodeString(line.Leaf)
	if errLeaf != nil || len(leaf) != tlog.HashSize {
		err = errors.Join(err, errors.New("invalid leaf: want 64 hexadecimal digits"))
	}
	if err == nil && e.text(writerColumn) != l.stream.WriterID {
		err = errors.New("the entry names another writer")
	}
	if err != nil {
		l.Unreadable(l.next, "", err)
		return
	}
	e.Leaf = tlog.Hash(leaf)
	if line.Personal != nil {
		if err := e.fillPersonal(line.Personal); err != nil {
			l.Log.find(l.finding(kindCommitment, e.seq(), "the personal fields were changed: %v", err))
			e.Salt = nil
		}
	}
	l.Entry(e)
}

// end checks the end of an export.
func (x *exportCheck) end(end *exportEnd) {
	x.begun = false
	damaged := x.c.total() > x.before
	text, err := x.openEnd(end)
	if err != nil {
		x.find(kindSignature, "no trusted writer signed the end of the export: %v", err)
		return
	}
	if text == x.digest.text(x.opID) || damaged {
		return // the change is already a finding
	}
	var lines int64
	for line := range strings.SplitSeq(text, "\n") {
		if n, ok := strings.CutPrefix(line, "lines "); ok {
			lines, _ = strconv.ParseInt(n, 10, 64)
		}
	}
	if lines != x.digest.lines {
		x.find(kindCut, "the export was cut: it had %d lines before this one, found %d", lines, x.digest.lines)
		return
	}
	x.find(kindRoot, "the lines before this one were changed after the export")
}

// openEnd returns the text of the note at the end of an export.
func (x *exportCheck) openEnd(end *exportEnd) (string, error) {
	w, err := parseWriter(end.Certificate)
	if err != nil {
		return "", err
	}
	v, _, err := w.Certified(x.c.keys...)
	if err != nil {
		return "", err
	}
	return openNote(end.Note, v)
}

// report ends the check.
func (x *exportCheck) report() *Report {
	x.leave()
	if x.begun {
		x.open++
	}
	r := x.c.Report(true)
	r.Remarks = nil
	var cut int
	for _, s := range r.Streams {
		if s.First > 0 {
			cut++
		}
	}
	if cut > 0 {
		r.Remarks = append(r.Remarks, fmt.Sprintf("The export does not contain the beginning of %d logs; an earlier export does.", cut))
	}
	if x.open > 0 {
		r.Remarks = append(r.Remarks, fmt.Sprintf("%d of %d exports have no end: the purge was interrupted, or the last lines were removed.", x.open, x.exports))
	}
	switch {
	case r.Total > 0:
	case x.exports == 0:
		r.Verdict = VerdictNotCheckable
	case x.open > 0:
		r.Verdict = VerdictNotAnchored
	default:
		r.Verdict = VerdictSound
	}
	return r
}
