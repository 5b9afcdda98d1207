package sqlaudit

// This file implements the decoding of file_access_logs rows. It accepts a
// value only in the form in which this package writes it. Another storage
// class, text form or encoding could produce the same leaf, but then queries
// would find different entries. Scanning and decoding are separate steps
// because Verify runs them in two goroutines. Scanning is slower and must not
// wait for decoding.

import (
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
)

// form describes how the driver of a database returns values.
type form struct {
	octets bool   // text arrives as []byte, like binary columns
	native bool   // times of file_access_logs arrive as time.Time
	layout string // layout of the times that arrive as text
}

// raw is a row as returned by the driver, in the order of columns.
type raw []any

func (v *raw) scan(rows *sql.Rows) error {
	*v = make(raw, len(columns))
	dst := make([]any, len(columns))
	for i := range *v {
		dst[i] = &(*v)[i]
	}
	return rows.Scan(dst...)
}

// scan reads the current row of rows into r.
func (r *row) scan(rows *sql.Rows, f form) error {
	var v raw
	if err := v.scan(rows); err != nil {
		return err
	}
	return r.decode(&v, f)
}

// bytes returns the total size of the values of v.
func (v *raw) bytes() (n int) {
	for _, value := range *v {
		switch value := value.(type) {
		case string:
			n += len(value)
		case []byte:
			n += len(value)
		}
	}
	return n
}

// text returns the shortened value of one column for use in a message.
func (v *raw) text(column int) string {
	switch value := (*v)[column].(type) {
	case nil:
		return ""
	case string:
		return printable(value)
	case []byte:
		return printable(string(value))
	default:
		return printable(fmt.Sprint(value))
	}
}

// printable shortens text of unknown origin and escapes unprintable characters.
func printable(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}

// position returns the seq of a row, which paging needs.
func (v *raw) position(f form) (int64, error) {
	d := decoder{left: (*v)[seqColumn:], form: f}
	seq := d.required64()
	if d.err == nil && (seq < 0 || seq > maxSeq) {
		d.err = fmt.Errorf("column seq holds %d: want 0 to 2^53", seq)
	}
	return seq, d.err
}

// decode sets r from the values of v.
func (r *row) decode(v *raw, f form) error {
	cs := audit.Columns()
	r.stored.Values = make([]any, len(cs))
	for i := range cs {
		value, err := f.value(&cs[i], (*v)[i])
		if err != nil {
			return fmt.Errorf("column %s %w", cs[i].Name, err)
		}
		if err := cs[i].SetValue(&r.Entry, value); err != nil {
			return err
		}
		r.stored.Values[i] = value
	}
	d := decoder{left: (*v)[len(cs):], form: f}
	schema := d.required64()
	r.stored.Salt, r.stored.Commitment = d.octets(32), d.octets(32)
	leaf := d.octets(len(r.stored.Leaf))
	switch {
	case d.err != nil:
		return d.err
	case schema != proof.SchemaVersion:
		return fmt.Errorf("column schema_version holds %d: want %d", schema, proof.SchemaVersion)
	case r.stored.Commitment == nil || leaf == nil:
		return errors.New("column pii_commitment or leaf is NULL")
	}
	copy(r.stored.Leaf[:], leaf)
	return nil
}

// value converts the driver's value of column c to the Go type of the column.
// It returns nil for NULL.
func (f form) value(c *audit.Column, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch c.Type {
	case "time":
		if t, ok := v.(time.Time); ok && f.native {
			return t.UTC(), nil
		}
		if f.native {
			return nil, fmt.Errorf("holds a value of type %s instead of a time", kindOf(v))
		}
		return boxed(f.time(v))
	case "integer":
		return boxed(f.integer(v))
	case "digest":
		return boxed(octets(v))
	}
	return boxed(f.text(v))
}

// boxed converts v to type any.
func boxed[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// decoder reads values one after the other and stores the first error.
type decoder struct {
	left []any
	form form
	err  error
}

func (d *decoder) next() any {
	v := d.left[0]
	d.left = d.left[1:]
	return v
}

// fail sets the error for the last value that next returned.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("column "+columns[len(columns)-len(d.left)-1]+" "+format, args...)
	}
}

// text returns a text value. It rejects NULL.
func (f form) text(v any) (string, error) {
	s, ok := v.(string)
	if b, isBytes := v.([]byte); isBytes && f.octets {
		s, ok = string(b), true
	}
	switch {
	case !ok:
		return "", fmt.Errorf("holds a value of type %s instead of text", kindOf(v))
	case s == "":
		return "", errors.New("holds an empty text instead of NULL")
	case s[0] == oddLength[0]:
		return "", errors.New(oddLengthText(s))
	case !utf8.ValidString(s):
		return "", errors.New("holds text that is not valid UTF-8")
	}
	return s, nil
}

// kindOf returns the name of a value's storage class.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "NULL"
	case string:
		return "text"
	case []byte:
		return "bytes"
	case int64:
		return "integer"
	case float64:
		return "real"
	}
	return fmt.Sprintf("%T", v)
}

// isUUID is a faster form of checkUUID.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func (d *decoder) integer() *int64 {
	v := d.next()
	if v == nil {
		return nil
	}
	n, err := d.form.integer(v)
	if err != nil {
		d.fail("%w", err)
	}
	return &n
}

func (f form) integer(v any) (int64, error) {
	if n, ok := v.(int64); ok {
		return n, nil
	}
	if b, ok := v.([]byte); ok && f.octets { // a driver's text protocol
		if n, err := strconv.ParseInt(string(b), 10, 64); err == nil && strconv.FormatInt(n, 10) == string(b) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("holds a value of type %s instead of an integer", kindOf(v))
}

func (d *decoder) required64() int64 {
	n := d.integer()
	if n == nil {
		d.fail("is NULL")
		return 0
	}
	return *n
}

// octets reads a value of exactly want bytes, or NULL.
func (d *decoder) octets(want int) []byte {
	v := d.next()
	if v == nil {
		return nil
	}
	b, ok := v.([]byte)
	switch {
	case !ok:
		d.fail("holds a value of type %s instead of bytes", kindOf(v))
	case isOddLength(b):
		d.fail("%s", oddLengthText(string(b)))
	case len(b) != want:
		d.fail("holds %d bytes: want %d", len(b), want)
	}
	return b
}

// time parses a time that a SELECT returns as text.
func (f form) time(v any) (time.Time, error) {
	if v == nil {
		return time.Time{}, errors.New("is NULL")
	}
	s, err := f.text(v)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(f.layout, s)
	if err != nil || t.Format(f.layout) != s {
		return time.Time{}, fmt.Errorf("holds %.40q: want a time of the form %s", s, f.layout)
	}
	return t, nil
}

// oddLength starts the text that a SELECT returns instead of a value that is
// empty or too long to read. The value's size in bytes follows. This package
// never stores text with control characters, so the marker is unambiguous.
const oddLength = "\x01"

func isOddLength(b []byte) bool {
	return len(b) > 1 && b[0] == oddLength[0] && strings.Trim(string(b[1:]), "0123456789") == ""
}

func oddLengthText(s string) string {
	if !isOddLength([]byte(s)) {
		return "holds a control character"
	}
	return "holds a value of " + s[1:] + " bytes: the value is empty or too long to read"
}

// maxSeq is greater than the seq of any entry. Larger values could overflow.
const maxSeq = 1 << 53

// idColumn and seqColumn are the indexes of two columns in a row.
var idColumn, seqColumn = indexOf("id"), indexOf("seq")

func indexOf(column string) int {
	for i, c := range columnNames() {
		if c == column {
			return i
		}
	}
	panic("sqlaudit: no such column: " + column)
}
