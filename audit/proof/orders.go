package proof

// This file implements orders. An order is a signed note that permits personal
// fields, or the beginning of a log, to be missing.

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

// isFrontier reports whether text is the order to remove the entries in t.
func isFrontier(text, writerID string, t *Tree) bool {
	op := ""
	if lines := strings.SplitN(text, "\n", 3); len(lines) == 3 {
		op = strings.TrimPrefix(lines[1], "op ")
	}
	return text == FrontierText(op, writerID, t)
}

// span is a range of sequence numbers, including both ends.
type span struct{ first, last int64 }

// ErasureText returns the text of the order to erase the personal fields of a
// writer's entries, and the first of their sequence numbers. It sorts seqs in
// place.
func ErasureText(opID, writerID string, seqs []int64) (text string, first int64) {
	slices.Sort(seqs)
	var spans []span
	for _, s := range seqs {
		n := len(spans)
		switch {
		case n > 0 && s <= spans[n-1].last: // skip a duplicate
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

// parseErasure returns the entries named by an erasure order.
func parseErasure(text, opID, writerID string) ([]span, error) {
	list, ok := strings.CutPrefix(text, erasureTitle+"\nop "+opID+"\nwriter "+writerID+"\nentries ")
	list, end := strings.CutSuffix(list, "\n")
	if !ok || !end {
		return nil, errors.New("not an erasure order for this operation and writer")
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
			return nil, fmt.Errorf("invalid entries %.60q: want ascending numbers or ranges", part)
		}
		out = append(out, span{a, b})
	}
	return out, nil
}
