package sqlaudit

// This file implements the canonical form of an entry, which its leaf is the hash
// of. The package comment describes it for whoever writes a second verifier; a
// change here needs a new schema_version.

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
)

// member is a member of the canonical form: a column of audit.Columns, or one
// that this package adds.
type member struct {
	name   string
	column int // in audit.Columns; -1: added by this package
}

// members are those of the canonical form in the order of their names.
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

// canonical appends the canonical JSON object of r to b.
func (r *row) canonical(b []byte) []byte {
	cs := audit.Columns()
	b = append(b, '{')
	for _, m := range members {
		if m.column >= 0 {
			if v := r.values[m.column]; v != nil {
				b = cs[m.column].AppendJSON(appendName(b, m.name), v)
			}
			continue
		}
		b = appendName(b, m.name)
		if m.name == "schema_version" {
			b = strconv.AppendInt(b, int64(r.schema), 10)
			continue
		}
		b = append(b, '"')
		b = hex.AppendEncode(b, r.commitment)
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
