package sqlaudit

// Reading rows of file_access_logs. What the driver gives and what it means are
// two steps, since Verify does them in two goroutines: the first is the slower
// one, and must not wait for the second.

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// raw is a row as the driver gives it, in the order of columns.
type raw [len(columnNames)]any

func (v *raw) scan(rows *sql.Rows) error {
	var dst raw
	for i := range v {
		dst[i] = &v[i]
	}
	return rows.Scan(dst[:]...)
}

// scan reads the current row of rows.
func (r *row) scan(rows *sql.Rows) error {
	if err := r.scanColumns(rows, false); err != nil {
		return err
	}
	if r.attrs != "" {
		if err := json.Unmarshal([]byte(r.attrs), &r.Attrs); err != nil {
			return fmt.Errorf("entry %s: its attrs are no JSON object of strings: %w", r.ID, err)
		}
	}
	return nil
}

// scanColumns leaves attrs as text. If strict, it refuses what this package
// never stores although it would read it.
func (r *row) scanColumns(rows *sql.Rows, strict bool) error {
	var v raw
	if err := v.scan(rows); err != nil {
		return err
	}
	return r.decode(&v, strict)
}

func (r *row) decode(v *raw, strict bool) error {
	d := decoder{left: v[:], strict: strict}
	r.ID, r.OpID, r.RefOpID, r.WriterID = d.required(), d.required(), d.text(), d.required()
	r.Seq = d.required64()
	r.OccurredAt, r.CreatedAt = d.time(), d.time()
	r.Action, r.Outcome, r.SettledBy = audit.Action(d.required()), audit.Outcome(d.required()), audit.SettledBy(d.required())
	for _, s := range []*string{
		&r.Actor.UserID, &r.Actor.IP, &r.Actor.UserAgent, &r.Actor.RequestID, &r.Actor.TenantID,
		&r.Resource.Type, &r.Resource.ID, &r.Key, &r.Backend, &r.Bucket, &r.GrantID,
	} {
		*s = d.text()
	}
	r.Size, r.SHA256 = d.integer(), d.octets()
	r.ContentType, r.ErrorCode, r.attrs = d.text(), d.text(), d.text()
	r.schema = int(d.required64())
	r.salt, r.commitment = d.octets(), d.octets()
	leaf := d.octets()
	if d.err != nil {
		return d.err
	}
	if len(leaf) != len(r.leaf) {
		return fmt.Errorf("entry %s: its leaf has %d bytes instead of %d", r.ID, len(leaf), len(r.leaf))
	}
	copy(r.leaf[:], leaf)
	return nil
}

// decoder takes values one after the other, whichever of their forms the driver
// chose, and keeps the first error.
type decoder struct {
	left   []any
	strict bool // a text that is not NULL is not empty
	err    error
}

func (d *decoder) next() any {
	v := d.left[0]
	d.left = d.left[1:]
	return v
}

// fail reports what is wrong with the value that was taken last.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("column "+columns[len(columns)-len(d.left)-1]+" "+format, args...)
	}
}

// text takes a text; NULL is "".
func (d *decoder) text() string {
	var s string
	switch v := d.next().(type) {
	case nil:
		return ""
	case string:
		s = v
	case []byte:
		s = string(v)
	default:
		d.fail("holds %T instead of text", v)
	}
	if s == "" && d.strict {
		d.fail("holds an empty text, where there should be NULL")
	}
	return s
}

// required takes a text that is not NULL.
func (d *decoder) required() string {
	if d.left[0] == nil {
		d.next()
		d.fail("is NULL")
		return ""
	}
	return d.text()
}

func (d *decoder) integer() *int64 {
	var n int64
	var err error
	switch v := d.next().(type) {
	case nil:
		return nil
	case int64:
		n = v
	case []byte: // a driver's text protocol
		n, err = strconv.ParseInt(string(v), 10, 64)
	case string:
		n, err = strconv.ParseInt(v, 10, 64)
	default:
		err = fmt.Errorf("%T", v)
	}
	if err != nil {
		d.fail("holds no whole number: %w", err)
	}
	return &n
}

func (d *decoder) required64() int64 {
	n := d.integer()
	if n == nil {
		d.fail("is NULL")
		return 0
	}
	return *n
}

func (d *decoder) octets() []byte {
	switch v := d.next().(type) {
	case nil:
	case []byte:
		return v
	case string:
		return []byte(v)
	default:
		d.fail("holds %T instead of bytes", v)
	}
	return nil
}

func (d *decoder) time() time.Time {
	var t timestamp
	v := d.next()
	if err := t.Scan(v); err != nil {
		d.fail("holds no time: %w", err)
	}
	return t.Time
}

// timestamp scans a time, whichever way the driver gives it.
type timestamp struct{ time.Time }

func (t *timestamp) Scan(src any) (err error) {
	switch v := src.(type) {
	case time.Time:
		t.Time = v.UTC()
	case string:
		// SQLite: as timeFormat has it. MariaDB: without the T and the Z.
		t.Time, err = time.Parse("2006-01-02 15:04:05.000000", strings.Replace(strings.TrimSuffix(v, "Z"), "T", " ", 1))
	case []byte:
		return t.Scan(string(v))
	default:
		return fmt.Errorf("%T", src)
	}
	return err
}
