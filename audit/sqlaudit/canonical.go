package sqlaudit

// The canonical form of an entry, which its leaf is the hash of. The package
// comment describes it for whoever writes a second verifier; a change here
// needs a new schema_version.

import (
	"encoding/hex"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"
)

// canonical appends the canonical JSON object of r to b. The members stand in
// the order of their names.
func (r *row) canonical(b []byte) []byte {
	b = append(b, '{')
	str := func(name, value string) {
		if value != "" {
			b = appendName(b, name)
			b = appendString(b, value)
		}
	}
	num := func(name string, value int64) {
		b = appendName(b, name)
		b = strconv.AppendInt(b, value, 10)
	}
	at := func(name string, t time.Time) {
		b = appendName(b, name)
		b = append(b, '"')
		b = t.UTC().AppendFormat(b, timeFormat)
		b = append(b, '"')
	}
	octets := func(name string, value []byte) {
		if value != nil {
			b = appendName(b, name)
			b = append(b, '"')
			b = hex.AppendEncode(b, value)
			b = append(b, '"')
		}
	}

	str("action", string(r.Action))
	if r.attrs != "" {
		b = appendName(b, "attrs")
		b = append(b, r.attrs...)
	}
	str("bucket", r.Bucket)
	str("content_type", r.ContentType)
	at("created_at", r.CreatedAt)
	str("error_code", r.ErrorCode)
	str("file_key", r.Key)
	str("grant_id", r.GrantID)
	str("id", r.ID)
	at("occurred_at", r.OccurredAt)
	str("op_id", r.OpID)
	str("outcome", string(r.Outcome))
	octets("pii_commitment", r.commitment)
	str("ref_op_id", r.RefOpID)
	str("resource_id", r.Resource.ID)
	str("resource_type", r.Resource.Type)
	num("schema_version", int64(r.schema))
	num("seq", r.Seq)
	str("settled_by", string(r.SettledBy))
	octets("sha256", r.SHA256)
	if r.Size != nil {
		num("size", *r.Size)
	}
	str("storage_backend", r.Backend)
	str("tenant_id", r.Actor.TenantID)
	str("writer_id", r.WriterID)
	return append(b, '}')
}

// appendAttrs appends the canonical JSON object of attrs to b.
func appendAttrs(b []byte, attrs map[string]string) []byte {
	names := make([]string, 0, len(attrs))
	for name := range attrs {
		names = append(names, name)
	}
	slices.SortFunc(names, compareUTF16)
	b = append(b, '{')
	for _, name := range names {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, ':')
		b = appendString(b, attrs[name])
	}
	return append(b, '}')
}

// compareUTF16 orders names as RFC 8785 does, by their UTF-16 code units.
func compareUTF16(x, y string) int {
	return slices.Compare(utf16.Encode([]rune(x)), utf16.Encode([]rune(y)))
}

func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// appendString appends s as RFC 8785 writes a string: only the quote, the
// backslash and the control characters below U+0020 are escaped.
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
