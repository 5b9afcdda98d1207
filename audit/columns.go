package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf16"
)

// Column is one column of a stored [Entry]. It has a name and a type, and reads
// or sets one field of an entry. [Columns] lists all columns once, so that
// every stored, signed or exported form of an entry has the same fields.
type Column struct {
	Name string

	// Type is the type of the values:
	//
	//   - "text": a non-empty string
	//   - "uuid": a string with a lowercase UUID
	//   - "time": a time.Time in UTC with microseconds
	//   - "integer": an int64
	//   - "digest": a []byte of 32 bytes
	//   - "object": a string with a JSON object of strings as specified in RFC
	//     8785, never empty
	Type string

	Personal bool // personal data, which Erase removes

	required bool // every entry must have a value
	get      func(e *Entry) any
	set      func(e *Entry, v any) error
}

// These are the values of Column.Type.
const (
	typeText    = "text"
	typeUUID    = "uuid"
	typeTime    = "time"
	typeInteger = "integer"
	typeDigest  = "digest"
	typeObject  = "object"
)

// TimeFormat is the text form of the times of an entry, in UTC. It is RFC 3339
// with six fractional digits, so that sorting the text sorts the times.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

// Columns returns the columns of an entry in the order of the stored table. The
// caller must not change the result.
func Columns() []Column {
	columnsOnce.Do(func() { columnList = makeColumns() })
	return columnList
}

// The list is built on first use. A program that uses no column therefore does
// not link the packages that the columns need.
var (
	columnsOnce sync.Once
	columnList  []Column
)

// Value returns the value of the column in e, with the Go type of c.Type, or
// nil if it is not set. The result may share memory with e.
func (c *Column) Value(e *Entry) any { return c.get(e) }

// SetValue sets the column in e. It accepts exactly the values that Value can
// return, and nil if the column is not required. After an error, e
// is unspecified.
func (c *Column) SetValue(e *Entry, v any) error {
	if v == nil {
		if c.required {
			return fmt.Errorf("column %s is not set", c.Name)
		}
		return nil
	}
	if err := c.set(e, v); err != nil {
		return fmt.Errorf("column %s %w", c.Name, err)
	}
	return nil
}

func makeColumns() []Column {
	return []Column{
		uuidColumn("id", true, func(e *Entry) *string { return &e.ID }),
		uuidColumn("op_id", true, func(e *Entry) *string { return &e.OpID }),
		uuidColumn("ref_op_id", false, func(e *Entry) *string { return &e.RefOpID }),
		uuidColumn("writer_id", true, func(e *Entry) *string { return &e.WriterID }),
		{
			Name: "seq", Type: typeInteger, required: true,
			get: func(e *Entry) any { return e.Seq },
			set: func(e *Entry, v any) error { return setInteger(&e.Seq, v) },
		},
		timeColumn("occurred_at", func(e *Entry) *time.Time { return &e.OccurredAt }),
		timeColumn("created_at", func(e *Entry) *time.Time { return &e.CreatedAt }),
		required(textColumn("action", func(e *Entry) *string { return (*string)(&e.Action) })),
		required(textColumn("outcome", func(e *Entry) *string { return (*string)(&e.Outcome) })),
		required(textColumn("settled_by", func(e *Entry) *string { return (*string)(&e.SettledBy) })),
		personal(textColumn("user_id", func(e *Entry) *string { return &e.Actor.UserID })),
		personal(textColumn("ip_address", func(e *Entry) *string { return &e.Actor.IP })),
		personal(textColumn("user_agent", func(e *Entry) *string { return &e.Actor.UserAgent })),
		personal(textColumn("request_id", func(e *Entry) *string { return &e.Actor.RequestID })),
		textColumn("tenant_id", func(e *Entry) *string { return &e.Actor.TenantID }),
		textColumn("resource_type", func(e *Entry) *string { return &e.Resource.Type }),
		textColumn("resource_id", func(e *Entry) *string { return &e.Resource.ID }),
		textColumn("file_key", func(e *Entry) *string { return &e.Key }),
		textColumn("source_key", func(e *Entry) *string { return &e.SourceKey }),
		textColumn("storage_backend", func(e *Entry) *string { return &e.Backend }),
		textColumn("bucket", func(e *Entry) *string { return &e.Bucket }),
		textColumn("grant_id", func(e *Entry) *string { return &e.GrantID }),
		{
			Name: "size", Type: typeInteger,
			get: func(e *Entry) any {
				if e.Size == nil {
					return nil
				}
				return *e.Size
			},
			set: func(e *Entry, v any) error {
				e.Size = new(int64)
				return setInteger(e.Size, v)
			},
		},
		shaColumn(),
		textColumn("content_type", func(e *Entry) *string { return &e.ContentType }),
		textColumn("error_code", func(e *Entry) *string { return &e.ErrorCode }),
		detailsColumn(),
		{
			Name: "attrs", Type: typeObject,
			get: func(e *Entry) any {
				if len(e.Attrs) == 0 {
					return nil
				}
				return string(appendObject(nil, e.Attrs))
			},
			set: func(e *Entry, v any) (err error) {
				e.Attrs, err = parseObject(v)
				return err
			},
		},
	}
}

// shaColumn returns the column of the content's digest.
func shaColumn() Column {
	return Column{
		Name: "sha256", Type: typeDigest,
		get: func(e *Entry) any {
			if e.SHA256 == nil {
				return nil
			}
			return e.SHA256
		},
		set: func(e *Entry, v any) error {
			b, ok := v.([]byte)
			if !ok || len(b) != 32 {
				return fmt.Errorf("holds a %T of %d bytes: want 32 bytes", v, len(b))
			}
			e.SHA256 = b
			return nil
		},
	}
}

// detailsColumn returns the column of all details as one object.
func detailsColumn() Column {
	return Column{
		Name: "details", Type: typeObject,
		get: func(e *Entry) any {
			b := []byte{'{'}
			for name, text := range e.Details.All() {
				b = appendMember(b, name, text)
			}
			if len(b) == 1 {
				return nil
			}
			return string(append(b, '}'))
		},
		set: func(e *Entry, v any) error {
			facts, err := parseObject(v)
			for name, text := range facts {
				err = errors.Join(err, e.Details.setText(name, text))
			}
			return err
		},
	}
}

func textColumn(name string, field func(e *Entry) *string) Column {
	return Column{
		Name: name, Type: typeText,
		get: func(e *Entry) any {
			if s := *field(e); s != "" {
				return s
			}
			return nil
		},
		set: func(e *Entry, v any) error {
			s, ok := v.(string)
			if !ok || s == "" {
				return fmt.Errorf("holds a %T: want non-empty text", v)
			}
			*field(e) = s
			return nil
		},
	}
}

func uuidColumn(name string, required bool, field func(e *Entry) *string) Column {
	c := textColumn(name, field)
	c.Type, c.required = typeUUID, required
	c.set = func(e *Entry, v any) error {
		s, ok := v.(string)
		if !ok || !isUUID(s) {
			return fmt.Errorf("holds %.64q: want a lowercase UUID", v)
		}
		*field(e) = s
		return nil
	}
	return c
}

func timeColumn(name string, field func(e *Entry) *time.Time) Column {
	return Column{
		Name: name, Type: typeTime, required: true,
		get: func(e *Entry) any { return field(e).UTC() },
		set: func(e *Entry, v any) error {
			t, ok := v.(time.Time)
			if !ok {
				return fmt.Errorf("holds a %T: want a time", v)
			}
			*field(e) = t.UTC()
			return nil
		},
	}
}

func required(c Column) Column { c.required = true; return c }
func personal(c Column) Column { c.Personal = true; return c }

func setInteger(dst *int64, v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("holds a %T: want an integer", v)
	}
	*dst = n
	return nil
}

// AppendJSON appends a value of [Column.Value] to b as a JSON value. Text and
// UUIDs become strings, times become strings in [TimeFormat], and digests
// become strings of hexadecimal digits. Integers and objects are appended
// unchanged, and nil as null. Strings are escaped as specified in RFC 8785.
func (c *Column) AppendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		if c.Type == typeObject {
			return append(b, v...)
		}
		return appendString(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case time.Time:
		b = append(b, '"')
		b = v.UTC().AppendFormat(b, TimeFormat)
		return append(b, '"')
	case []byte:
		b = append(b, '"')
		b = hex.AppendEncode(b, v)
		return append(b, '"')
	}
	return append(b, "null"...)
}

// ParseJSON is the inverse of AppendJSON. Except for objects, it also accepts
// other encodings of the same value.
func (c *Column) ParseJSON(text []byte) (any, error) {
	fail := func(err error) (any, error) { return nil, fmt.Errorf("column %s holds %.100q: %w", c.Name, text, err) }
	if string(text) == "null" {
		return nil, nil
	}
	switch c.Type {
	case typeObject:
		return string(text), nil
	case typeInteger:
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return fail(err)
		}
		return n, nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fail(err)
	}
	switch c.Type {
	case typeTime:
		t, err := time.Parse(TimeFormat, s)
		if err != nil {
			return fail(err)
		}
		return t, nil
	case typeDigest:
		b, err := hex.DecodeString(s)
		if err != nil {
			return fail(err)
		}
		return b, nil
	}
	return s, nil
}

// parseObject parses a JSON object of strings and rejects every encoding except
// the canonical one. Another encoding would have another leaf hash, or could
// have two values for one name.
func parseObject(v any) (map[string]string, error) {
	s, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("holds a %T: want text", v)
	}
	var object map[string]string
	if err := json.Unmarshal([]byte(s), &object); err != nil {
		return nil, fmt.Errorf("is not a JSON object of strings: %w", err)
	}
	if len(object) == 0 || !bytes.Equal(appendObject(make([]byte, 0, len(s)), object), []byte(s)) {
		return nil, errors.New("is not in canonical form (RFC 8785)")
	}
	return object, nil
}

// appendObject appends the canonical JSON object of a map.
func appendObject(b []byte, object map[string]string) []byte {
	names := slices.SortedFunc(maps.Keys(object), compareUTF16)
	b = append(b, '{')
	for _, name := range names {
		b = appendMember(b, name, object[name])
	}
	return append(b, '}')
}

// appendMember appends a member to the unfinished object at the end of b.
func appendMember(b []byte, name, text string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = appendString(b, name)
	b = append(b, ':')
	return appendString(b, text)
}

// compareUTF16 compares names by their UTF-16 code units, as RFC 8785 requires.
func compareUTF16(x, y string) int {
	return slices.Compare(utf16.Encode([]rune(x)), utf16.Encode([]rune(y)))
}

// appendString appends s as a string of RFC 8785: it escapes only the quote,
// the backslash and the control characters below U+0020.
func appendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\f':
			b = append(b, '\\', 'f')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
