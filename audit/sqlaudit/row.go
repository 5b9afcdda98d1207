package sqlaudit

// This file implements the rows of file_access_logs for writing, reading and
// checking.

import (
	"fmt"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// timeFormat is the format of times in the canonical form and in SQLite.
const timeFormat = audit.TimeFormat

// row is an entry with its stored form.
type row struct {
	audit.Entry
	stored proof.Entry
}

// columns are the columns of file_access_logs in the order of row.args.
var columns = columnNames()

func columnNames() []string {
	var names []string
	for _, c := range audit.Columns() {
		names = append(names, c.Name)
	}
	return append(names, "schema_version", "pii_salt", "pii_commitment", "leaf")
}

// newRow returns a row without its position in the log. Callers prepare it
// before they wait for the flush.
func newRow(e audit.Event, by audit.SettledBy) (*row, error) {
	// All databases store these years, and they have four digits.
	if y := e.OccurredAt.Year(); y < 1000 || y > 9999 {
		return nil, fmt.Errorf("%w: OccurredAt is in the year %d: want 1000 to 9999", audit.ErrEvent, y)
	}
	if by == "" {
		by = audit.SettledByWriter
	}
	if by != audit.SettledByWriter && by != audit.SettledByReconciler {
		return nil, fmt.Errorf("%w: SettledBy %q: want %q or %q", audit.ErrEvent, string(by), audit.SettledByWriter, audit.SettledByReconciler)
	}
	r := &row{Entry: audit.Entry{Event: e, SettledBy: by}}
	r.stored.Values = valuesOf(&r.Entry)
	return r, nil
}

// valuesOf returns the values of an entry's columns.
func valuesOf(e *audit.Entry) []any {
	cs := audit.Columns()
	values := make([]any, len(cs))
	for i := range cs {
		values[i] = cs[i].Value(e)
	}
	return values
}

// seal sets the identity of r and its position in the log. It then computes its
// commitment and leaf.
func (r *row) seal(id, writer string, seq int64, at time.Time, salt []byte) {
	r.ID, r.WriterID, r.Seq, r.CreatedAt, r.stored.Salt = id, writer, seq, at, salt
	cs := audit.Columns()
	for _, i := range sealColumns {
		r.stored.Values[i] = cs[i].Value(&r.Entry)
	}
	r.stored.Seal()
}

// sealColumns are the columns that seal sets.
var sealColumns = []int{indexOf("id"), indexOf("writer_id"), indexOf("seq"), indexOf("created_at")}

// args appends the values of r in the order of columns.
func (r *row) args(dst []any, formatTime func(time.Time) any) []any {
	for _, v := range r.stored.Values {
		if t, ok := v.(time.Time); ok {
			v = formatTime(t)
		}
		dst = append(dst, v)
	}
	return append(dst, proof.SchemaVersion, nullBytes(r.stored.Salt), r.stored.Commitment, r.stored.Leaf[:])
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func nullBytes(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
