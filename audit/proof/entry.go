package proof

// This file implements the canonical form of an entry, its leaf and its
// commitment. Changing any of them requires another SchemaVersion.

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/blobtrail/blobtrail/audit"
)

// SchemaVersion is the version of the canonical form. Every entry contains it.
const SchemaVersion = 1

// Entry is an entry in stored form: the values of its columns, and the salt,
// commitment and leaf of the proof.
type Entry struct {
	// Values has the values of [audit.Columns], in their order, as returned by
	// [audit.Column.Value]. The personal values are nil after an erasure.
	Values     []any
	Salt       []byte // the salt of the commitment; nil after an erasure
	Commitment []byte
	Leaf       tlog.Hash
}

// Seal computes Commitment and Leaf from Values and Salt.
func (e *Entry) Seal() {
	e.Commitment = e.commitment()
	e.Leaf = tlog.RecordHash(e.Canonical(make([]byte, 0, 1024)))
}

// Canonical appends the canonical form of e to b. It includes e.Commitment
// without recomputing it.
func (e *Entry) Canonical(b []byte) []byte {
	cs := audit.Columns()
	b = append(b, '{')
	for _, m := range members {
		if m.column >= 0 {
			if v := e.Values[m.column]; v != nil {
				b = cs[m.column].AppendJSON(appendName(b, m.name), v)
			}
			continue
		}
		b = appendName(b, m.name)
		if m.name == "schema_version" {
			b = strconv.AppendInt(b, SchemaVersion, 10)
			continue
		}
		b = append(b, '"')
		b = hex.AppendEncode(b, e.Commitment)
		b = append(b, '"')
	}
	return append(b, '}')
}

func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// member is a member of the canonical form: a column of audit.Columns, or one
// of the two members added by this package.
type member struct {
	name   string
	column int // index in audit.Columns; -1 if added by this package
}

// members lists the members of the canonical form, sorted by name.
var members = canonicalMembers()

func canonicalMembers() []member {
	out := []member{{"pii_commitment", -1}, {"schema_version", -1}}
	for i, c := range audit.Columns() {
		if !c.Personal {
			out = append(out, member{c.Name, i})
		}
	}
	slices.SortFunc(out, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return out
}

// commitment computes pii_commitment from the salt and the personal values.
func (e *Entry) commitment() []byte {
	h := sha256.New()
	h.Write(e.Salt)
	var n [8]byte
	cs := audit.Columns()
	for i := range cs {
		if !cs[i].Personal {
			continue
		}
		s, ok := e.Values[i].(string)
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

// These columns identify an entry.
var idColumn, seqColumn, writerColumn = columnOf("id"), columnOf("seq"), columnOf("writer_id")

func columnOf(name string) int {
	return slices.IndexFunc(audit.Columns(), func(c audit.Column) bool { return c.Name == name })
}

func (e *Entry) text(column int) string { s, _ := e.Values[column].(string); return s }
func (e *Entry) seq() int64             { n, _ := e.Values[seqColumn].(int64); return n }

// hasPersonal reports whether e has personal values.
func (e *Entry) hasPersonal() bool {
	for i, c := range audit.Columns() {
		if c.Personal && e.Values[i] != nil {
			return true
		}
	}
	return false
}

// fillPersonal sets the salt and the personal values from those of a proof or
// an export.
func (e *Entry) fillPersonal(personal map[string]string) (err error) {
	if e.Salt, err = hex.DecodeString(personal[saltName]); err != nil || len(e.Salt) != sha256.Size {
		return errors.New("invalid salt: want 64 hexadecimal digits")
	}
	known := 1
	for i, c := range audit.Columns() {
		s, found := personal[c.Name]
		if !c.Personal || !found {
			continue
		}
		if s == "" {
			return fmt.Errorf("the personal field %s is empty: want it absent", c.Name)
		}
		e.Values[i] = s
		known++
	}
	if known != len(personal) {
		return errors.New("unknown personal field: want only salt and the personal columns")
	}
	return nil
}

// personal returns the personal values and the salt of e in the form of a
// [Proof] or an export. It returns nil after an erasure.
func (e *Entry) personal() map[string]string {
	if e.Salt == nil {
		return nil
	}
	out := map[string]string{saltName: hex.EncodeToString(e.Salt)}
	for i, c := range audit.Columns() {
		if s, ok := e.Values[i].(string); ok && c.Personal {
			out[c.Name] = s
		}
	}
	return out
}

// saltName is the name of the salt among the personal members.
const saltName = "salt"

// decode returns e as an entry of package audit.
func (e *Entry) decode() (out audit.Entry, err error) {
	cs := audit.Columns()
	for i := range cs {
		if err := cs[i].SetValue(&out, e.Values[i]); err != nil {
			return audit.Entry{}, err
		}
	}
	return out, nil
}

// parseCanonical parses a canonical form and rejects every other encoding.
func parseCanonical(text string) (*Entry, error) {
	fail := func(err error) (*Entry, error) {
		return nil, fmt.Errorf("the entry is not in canonical form: %w", err)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return fail(err)
	}
	var version int
	var commitment string
	if err := errors.Join(json.Unmarshal(object["schema_version"], &version), json.Unmarshal(object["pii_commitment"], &commitment)); err != nil {
		return fail(err)
	}
	if version != SchemaVersion {
		return nil, fmt.Errorf("unsupported version %d of the entry: want %d", version, SchemaVersion)
	}
	e := new(Entry)
	var err error
	if e.Commitment, err = hex.DecodeString(commitment); err != nil || len(e.Commitment) != sha256.Size {
		return fail(errors.New("invalid commitment: want 64 hexadecimal digits"))
	}
	cs := audit.Columns()
	e.Values = make([]any, len(cs))
	for i := range cs {
		if text, found := object[cs[i].Name]; found && !cs[i].Personal {
			if e.Values[i], err = cs[i].ParseJSON(text); err != nil {
				return fail(err)
			}
		}
	}
	if _, err := e.decode(); err != nil {
		return fail(err)
	}
	// Encoding the entry again must give the same text. Otherwise, readers
	// could interpret it differently, for example if a name appears twice.
	canonical := e.Canonical(make([]byte, 0, len(text)))
	if string(canonical) != text {
		return fail(errors.New("its encoding or its members differ"))
	}
	e.Leaf = tlog.RecordHash(canonical)
	return e, nil
}

// Check returns an error unless Leaf and Commitment match the content of e.
func (e *Entry) Check() error {
	switch {
	case tlog.RecordHash(e.Canonical(make([]byte, 0, 1024))) != e.Leaf:
		return errors.New("the leaf is not the hash of the content")
	case e.Salt != nil && !bytes.Equal(e.commitment(), e.Commitment):
		return errors.New("the personal fields do not match the commitment")
	}
	return nil
}
