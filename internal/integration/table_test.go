package integration

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// table collects the results of cases on backends for printing.
type table struct {
	title, legend string
	mu            sync.Mutex
	rows, columns []string
	cells         map[[2]string]string
}

func newTable(title, legend string) *table {
	return &table{title: title, legend: legend, cells: make(map[[2]string]string)}
}

// result records the result of the test t, which is about to end.
func (tb *table) result(row, column string, t testing.TB) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	if !slices.Contains(tb.rows, row) {
		tb.rows = append(tb.rows, row)
	}
	if !slices.Contains(tb.columns, column) {
		tb.columns = append(tb.columns, column)
	}
	cell := "ok"
	switch {
	case t.Failed():
		cell = "FAILED"
	case t.Skipped():
		cell = "skipped"
	}
	tb.cells[[2]string{row, column}] = cell
}

// print writes the table to the log of t. "-" means that the backend does not
// support the case.
func (tb *table) print(t *testing.T) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s (ok: %s)\n%-100s", tb.title, tb.legend, "")
	for _, c := range tb.columns {
		fmt.Fprintf(&b, "%15s", c)
	}
	for _, r := range tb.rows {
		fmt.Fprintf(&b, "\n%-100s", r)
		for _, c := range tb.columns {
			cell := tb.cells[[2]string{r, c}]
			if cell == "" {
				cell = "-"
			}
			fmt.Fprintf(&b, "%15s", cell)
		}
	}
	t.Log(b.String())
}
