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
const timeFormat = "2006-01-02T15:04:05.000000Z"

// row is an entry with the columns that only this package knows.
type row struct {
	audit.Entry
	attrs      string // canonical JSON object; "" is NULL
	schema     int
	salt       []byte // nil after an erasure
	commitment []byte
	leaf       tlog.Hash
}

// columns are those of file_access_logs in the order of row.args.
var columns = columnNames[:]

var columnNames = [...]string{
	"id", "op_id", "ref_op_id", "writer_id", "seq", "occurred_at", "created_at",
	"action", "outcome", "settled_by", "user_id", "ip_address", "user_agent",
	"request_id", "tenant_id", "resource_type", "resource_id", "file_key",
	"storage_backend", "bucket", "grant_id", "size", "sha256", "content_type",
	"error_code", "attrs", "schema_version", "pii_salt", "pii_commitment", "leaf",
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
	if len(e.Attrs) > 0 {
		r.attrs = string(appendAttrs(nil, e.Attrs))
	}
	return r, nil
}

// place gives r its identity and its place in the log, and seals it.
func (r *row) place(id, writer string, seq int64, at time.Time, salt []byte) {
	r.ID, r.WriterID, r.Seq, r.CreatedAt, r.salt = id, writer, seq, at, salt
	r.commitment = r.commit()
	r.leaf = tlog.RecordHash(r.canonical(make([]byte, 0, 1024)))
}

// commit computes pii_commitment from the salt and the personal fields.
func (r *row) commit() []byte {
	h := sha256.New()
	h.Write(r.salt)
	var n [8]byte
	for _, s := range []string{r.Actor.UserID, r.Actor.IP, r.Actor.UserAgent, r.Actor.RequestID} {
		if s == "" {
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
	return append(dst,
		r.ID, r.OpID, null(r.RefOpID), r.WriterID, r.Seq, formatTime(r.OccurredAt), formatTime(r.CreatedAt),
		string(r.Action), string(r.Outcome), string(r.SettledBy), null(r.Actor.UserID), null(r.Actor.IP), null(r.Actor.UserAgent),
		null(r.Actor.RequestID), null(r.Actor.TenantID), null(r.Resource.Type), null(r.Resource.ID), null(r.Key),
		null(r.Backend), null(r.Bucket), null(r.GrantID), nullSize(r.Size), nullBytes(r.SHA256), null(r.ContentType),
		null(r.ErrorCode), null(r.attrs), r.schema, nullBytes(r.salt), r.commitment, r.leaf[:],
	)
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func nullSize(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

func nullBytes(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
