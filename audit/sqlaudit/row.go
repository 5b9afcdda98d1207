package sqlaudit

// A row of file_access_logs in Go, the same for writing, reading and checking.

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blobtrail/blobtrail/audit"
)

// schemaVersion is the version of the canonical form that new entries get.
const schemaVersion = 1

// timeFormat is how times appear in the canonical form, and in SQLite.
const timeFormat = audit.TimeFormat

// row is an entry with the columns that only this package knows.
type row struct {
	audit.Entry
	values     []any // of the entry, in the order of audit.Columns
	schema     int
	salt       []byte // nil after an erasure
	commitment []byte
	leaf       tlog.Hash
}

// columns are those of file_access_logs in the order of row.args.
var columns = columnNames()

func columnNames() []string {
	var names []string
	for _, c := range audit.Columns() {
		names = append(names, c.Name)
	}
	return append(names, "schema_version", "pii_salt", "pii_commitment", "leaf")
}

// newRow returns the part of a row that does not depend on its place in the
// log, so that callers prepare it before they wait for the flush.
func newRow(e audit.Event, by audit.SettledBy) (*row, error) {
	// What every database stores, and what four digits of a year can write.
	if y := e.OccurredAt.Year(); y < 1000 || y > 9999 {
		return nil, fmt.Errorf("%w: OccurredAt is in the year %d: want 1000 to 9999", audit.ErrEvent, y)
	}
	if by == "" {
		by = audit.SettledByWriter
	}
	if by != audit.SettledByWriter && by != audit.SettledByReconciler {
		return nil, fmt.Errorf("%w: SettledBy %q: want %q or %q", audit.ErrEvent, string(by), audit.SettledByWriter, audit.SettledByReconciler)
	}
	r := &row{Entry: audit.Entry{Event: e, SettledBy: by}, schema: schemaVersion}
	r.values = valuesOf(&r.Entry)
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

// place gives r its identity and its place in the log, and seals it.
func (r *row) place(id, writer string, seq int64, at time.Time, salt []byte) {
	r.ID, r.WriterID, r.Seq, r.CreatedAt, r.salt = id, writer, seq, at, salt
	cs := audit.Columns()
	for _, i := range placeColumns {
		r.values[i] = cs[i].Value(&r.Entry)
	}
	r.commitment = r.commit()
	r.leaf = tlog.RecordHash(r.canonical(make([]byte, 0, 1024)))
}

// placeColumns are those that place sets.
var placeColumns = []int{indexOf("id"), indexOf("writer_id"), indexOf("seq"), indexOf("created_at")}

// commit computes pii_commitment from the salt and the personal fields.
func (r *row) commit() []byte {
	h := sha256.New()
	h.Write(r.salt)
	var n [8]byte
	cs := audit.Columns()
	for i := range cs {
		if !cs[i].Personal {
			continue
		}
		s, ok := r.values[i].(string)
		if !ok {
			binary.BigEndian.PutUint64(n[:], 1<<64-1)
			h.Write(n[:])
			continue
		}
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return h.Sum(nil)
}

// args appends the values of r in the order of columns.
func (r *row) args(dst []any, formatTime func(time.Time) any) []any {
	for _, v := range r.values {
		if t, ok := v.(time.Time); ok {
			v = formatTime(t)
		}
		dst = append(dst, v)
	}
	return append(dst, r.schema, nullBytes(r.salt), r.commitment, r.leaf[:])
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
