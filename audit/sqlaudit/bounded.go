package sqlaudit

// This file implements the limits on what is read of a row. Whoever can write
// to the database could store a value of hundreds of megabytes, which must not
// be loaded to find out that it is too long.

import "strings"

// maxText and the like bound the bytes of stored values. Each is more than this
// package writes.
const (
	maxText        = 1024
	maxAttrsText   = 48 << 10 // 16 KiB, each byte escaped, and the punctuation
	maxCertificate = 16 << 10
	maxSigned      = 4 << 10  // checkpoints and frontiers
	maxOrder       = 64 << 10 // erasures
	maxHashes      = 63 * 32
)

// value is a column to read, with its limit.
type value struct {
	column string
	binary bool
	limit  int
}

// binaryColumns are those of file_access_logs that don't hold text.
var binaryColumns = map[string]bool{"sha256": true, "pii_salt": true, "pii_commitment": true, "leaf": true}

func valueOf(column string) value {
	v := value{column, binaryColumns[column], maxText}
	if column == "attrs" || column == "details" {
		v.limit = maxAttrsText
	}
	return v
}

// fixed says that a type of PostgreSQL bounds the column.
func fixed(column string) bool {
	switch column {
	case "id", "op_id", "ref_op_id", "writer_id", "seq", "occurred_at", "created_at", "size", "schema_version":
		return true
	}
	return false
}

// listOf is the list of columns of file_access_logs for a SELECT.
func listOf(expression func(column string) string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = expression(c)
	}
	return strings.Join(list, ", ")
}
