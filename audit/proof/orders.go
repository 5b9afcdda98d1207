package proof

// This file implements orders: signed notes that allow personal fields to be
// missing, and the beginning of a log to be gone.

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	frontierTitle = "blobtrail frontier v1"
	erasureTitle  = "blobtrail erasure v1"
)

// FrontierText returns the text of the order to remove the entries of a writer
// that t covers. opID is the operation of the order.
func FrontierText(opID, writerID string, t *Tree) string {
	return frontierTitle + "\nop " + opID + "\nwriter " + writerID + "\nsize " + strconv.FormatInt(t.Size, 10) + "\nroot " + t.Root().String() + "\n"
}

// isFrontier reports whether text is the order to remove what t covers.
func isFrontier(text, writerID string, t *Tree) bool {
	op := ""
	if lines := strings.SplitN(text, "\n", 3); len(lines) == 3 {
		op = strings.TrimPrefix(lines[1], "op ")
	}
	return text == FrontierText(op, writerID, t)
}

// span is a run of sequence numbers, both ends included.
type span struct{ first, last int64 }

// ErasureText returns the text of the order to erase the personal fields of the
// entries of a writer with the sequence numbers seqs, which ErasureText sorts, and
// the first of these.
func ErasureText(opID, writerID string, seqs []int64) (text string, first int64) {
	slices.Sort(seqs)
	var spans []span
	for _, s := range seqs {
		n := len(spans)
		switch {
		case n > 0 && s <= spans[n-1].last: // named twice
		case n > 0 && s == spans[n-1].last+1:
			spans[n-1].last = s
		default:
			spans = append(spans, span{s, s})
		}
	}
	var list []string
	for _, s := range spans {
		text := strconv.FormatInt(s.first, 10)
		if s.last > s.first {
			text += "-" + strconv.FormatInt(s.last, 10)
		}
		list = append(list, text)
	}
	return erasureTitle + "\nop " + opID + "\nwriter " + writerID + "\nentries " + strings.Join(list, ",") + "\n", seqs[0]
}

// parseErasure returns the entries that an order of erasure names.
func parseErasure(text, opID, writerID string) ([]span, error) {
	list, ok := strings.CutPrefix(text, erasureTitle+"\nop "+opID+"\nwriter "+writerID+"\nentries ")
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
