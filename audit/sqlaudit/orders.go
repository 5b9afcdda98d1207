package sqlaudit

// Signed orders: what allows personal fields to be missing, and the beginning
// of a log to be gone. Without one, Verify takes either for tampering.

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	frontierTitle = "blobtrail frontier v1"
	erasureTitle  = "blobtrail erasure v1"
)

// frontierText orders the entries of writer before size to be removed.
func frontierText(op, writer string, size int64, root tlog.Hash) string {
	return frontierTitle + "\nop " + op + "\nwriter " + writer + "\nsize " + strconv.FormatInt(size, 10) + "\nroot " + root.String() + "\n"
}

// frontierRow is a row of file_access_frontiers.
type frontierRow struct {
	WriterID string `db:"writer_id"`
	Size     int64  `db:"tree_size"`
	Hashes   []byte `db:"hashes"`
	Note     string `db:"note"`

	err error // why the row is not one that this package stored
}

// span is a run of sequence numbers, both ends included.
type span struct{ first, last int64 }

// spansOf joins ascending numbers.
func spansOf(seqs []int64) []span {
	var out []span
	for _, s := range seqs {
		if n := len(out); n > 0 && out[n-1].last == s-1 {
			out[n-1].last = s
			continue
		}
		out = append(out, span{s, s})
	}
	return out
}

// erasureText orders the personal fields of those entries of writer to be
// erased.
func erasureText(op, writer string, entries []span) string {
	var list []string
	for _, s := range entries {
		text := strconv.FormatInt(s.first, 10)
		if s.last > s.first {
			text += "-" + strconv.FormatInt(s.last, 10)
		}
		list = append(list, text)
	}
	return erasureTitle + "\nop " + op + "\nwriter " + writer + "\nentries " + strings.Join(list, ",") + "\n"
}

// parseErasure returns the entries that an order of erasure names.
func parseErasure(text, op, writer string) ([]span, error) {
	list, ok := strings.CutPrefix(text, erasureTitle+"\nop "+op+"\nwriter "+writer+"\nentries ")
	list, end := strings.CutSuffix(list, "\n")
	if !ok || !end {
		return nil, errors.New("it is not an order of erasure for this operation and writer")
	}
	var out []span
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		a, errA := strconv.ParseInt(first, 10, 64)
		b, errB := strconv.ParseInt(last, 10, 64)
		if errA != nil || errB != nil || a < 0 || a > b || len(out) > 0 && a <= out[len(out)-1].last {
			return nil, fmt.Errorf("it names the entries %.60q", part)
		}
		out = append(out, span{a, b})
	}
	return out, nil
}

// signerOf returns the id of the writer whose key an order claims to be signed
// with.
func signerOf(signed string) (string, error) {
	// Opened without keys, only to read the names.
	_, err := note.Open([]byte(signed), note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return "", fmt.Errorf("it is not a signed note: %w", err)
	}
	for _, sig := range unverified.Note.UnverifiedSigs {
		if id, ok := strings.CutPrefix(sig.Name, writerKeyPrefix); ok && checkUUID(id) == nil {
			return id, nil
		}
	}
	return "", errors.New("no writer signed it")
}
