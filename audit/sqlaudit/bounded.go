package sqlaudit

// This file implements the size limits for reading columns. Anyone who can
// write to the database could store a value of hundreds of megabytes. The
// queries therefore check the length before they load the value.

import "strings"

// These constants limit the bytes of stored values. Each limit is larger than
// any value this package writes.
const (
	maxText        = 1024
	maxAttrsText   = 48 << 10 // 16 KiB with each byte escaped, plus punctuation
	maxCertificate = 16 << 10
	maxSigned      = 4 << 10  // checkpoints and frontiers
	maxOrder       = 64 << 10 // erasures
	maxHashes      = 63 * 32
)

// value is a column to read and the maximum size of its value in bytes.
type value struct {
	column string
	binary bool
	limit  int
}

// binaryColumns are the columns of file_access_logs that hold bytes, not text.
var binaryColumns = map[string]bool{"sha256": true, "pii_salt": true, "pii_commitment": true, "leaf": true}

func valueOf(column string) value {
	v := value{column, binaryColumns[column], maxText}
	if column == "attrs" || column == "details" {
		v.limit = maxAttrsText
	}
	return v
}

// fixed reports whether the column's type limits its size in PostgreSQL.
func fixed(column string) bool {
	switch column {
	case "id", "op_id", "ref_op_id", "writer_id", "seq", "occurred_at", "created_at", "size", "schema_version":
		return true
	}
	return false
}

// listOf returns the columns of file_access_logs as the column list of a
// SELECT. It applies expression to each of them.
func listOf(expression func(column string) string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = expression(c)
	}
	return strings.Join(list, ", ")
}
