package sqlaudit

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Each combination of facts after a failed flush has a verdict.
func TestVerdictOfAnAttempt(t *testing.T) {
	const S, R, F, X, L, E = verdictStored, verdictRetry, verdictRefused, verdictSplit, verdictLost, verdictFailed
	// The key is the class. The values depend on whether an attempt may have
	// been committed, and on whether the batch has entries.
	want := map[class]map[bool]map[bool]verdict{
		fatal:    {false: {false: E, true: E}, true: {false: L, true: L}},
		retry:    {false: {false: R, true: R}, true: {false: R, true: R}},
		unclear:  {false: {false: R, true: R}, true: {false: R, true: R}},
		conflict: {false: {false: F, true: F}, true: {false: F, true: L}},
		locked:   {false: {false: F, true: F}, true: {false: F, true: L}},
		poison:   {false: {false: X, true: X}, true: {false: L, true: L}},
		gone:     {false: {false: L, true: L}, true: {false: L, true: L}},
	}
	for c, byUnknown := range want {
		for unknown, byRows := range byUnknown {
			for rows, w := range byRows {
				for _, queued := range []bool{false, true} {
					for _, late := range []bool{false, true} {
						at := attempt{class: c, unknown: unknown, rows: rows, queued: queued, late: late}
						expected := w
						if c == fatal && queued {
							expected = R
						}
						if expected == R && late {
							expected = L
						}
						assert.Equal(t, expected, at.verdict(), fmt.Sprintf("%+v", at))
						at.found = true
						assert.Equal(t, S, at.verdict(), "found")
					}
				}
			}
		}
	}
}
