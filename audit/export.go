package audit

// Entries as text, for auditors and for other programs. Both formats name the
// fields as the columns of the SQL journal are named, and hold one entry at a
// time in memory.

import (
	"bufio"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
)

// exportTime is how times are written, in UTC: RFC 3339 with six digits of a
// second, so that they sort as they read.
const exportTime = "2006-01-02T15:04:05.000000Z"

// exported is an [Entry] as it is written.
type exported struct {
	ID           string            `json:"id"`
	OpID         string            `json:"op_id"`
	RefOpID      string            `json:"ref_op_id,omitempty"`
	WriterID     string            `json:"writer_id"`
	Seq          int64             `json:"seq"`
	OccurredAt   string            `json:"occurred_at"`
	CreatedAt    string            `json:"created_at"`
	Action       string            `json:"action"`
	Outcome      string            `json:"outcome"`
	SettledBy    string            `json:"settled_by"`
	UserID       string            `json:"user_id,omitempty"`
	IP           string            `json:"ip_address,omitempty"`
	UserAgent    string            `json:"user_agent,omitempty"`
	RequestID    string            `json:"request_id,omitempty"`
	TenantID     string            `json:"tenant_id,omitempty"`
	ResourceType string            `json:"resource_type,omitempty"`
	ResourceID   string            `json:"resource_id,omitempty"`
	Key          string            `json:"file_key,omitempty"`
	Backend      string            `json:"storage_backend,omitempty"`
	Bucket       string            `json:"bucket,omitempty"`
	GrantID      string            `json:"grant_id,omitempty"`
	Size         *int64            `json:"size,omitempty"`
	SHA256       string            `json:"sha256,omitempty"`
	ContentType  string            `json:"content_type,omitempty"`
	ErrorCode    string            `json:"error_code,omitempty"`
	Attrs        map[string]string `json:"attrs,omitempty"`
}

func exportOf(e Entry) exported {
	at := func(t time.Time) string { return t.UTC().Format(exportTime) }
	return exported{
		ID: e.ID, OpID: e.OpID, RefOpID: e.RefOpID, WriterID: e.WriterID, Seq: e.Seq, OccurredAt: at(e.OccurredAt), CreatedAt: at(e.CreatedAt),
		Action: string(e.Action), Outcome: string(e.Outcome), SettledBy: string(e.SettledBy),
		UserID: e.Actor.UserID, IP: e.Actor.IP, UserAgent: e.Actor.UserAgent, RequestID: e.Actor.RequestID, TenantID: e.Actor.TenantID,
		ResourceType: e.Resource.Type, ResourceID: e.Resource.ID, Key: e.Key, Backend: e.Backend, Bucket: e.Bucket,
		GrantID: e.GrantID, Size: e.Size, SHA256: hex.EncodeToString(e.SHA256), ContentType: e.ContentType, ErrorCode: e.ErrorCode, Attrs: e.Attrs,
	}
}

// WriteJSONL writes entries to w as JSON Lines, one object for each, and returns
// how many it wrote. Fields that are not set are left out, the digest is in
// hexadecimal digits, times are RFC 3339 in UTC. It ends with the first error,
// of the entries or of w; what came before an error of the entries is written.
//
//	n, err := audit.WriteJSONL(w, journal.Entries(ctx, audit.Query{TenantID: "acme"}))
func WriteJSONL(w io.Writer, entries iter.Seq2[Entry, error]) (n int64, err error) {
	buffered := bufio.NewWriter(w)
	enc := json.NewEncoder(buffered)
	enc.SetEscapeHTML(false)
	for e, err := range entries {
		if err != nil {
			return n, errors.Join(err, buffered.Flush())
		}
		if err := enc.Encode(exportOf(e)); err != nil {
			return n, err
		}
		n++
	}
	return n, buffered.Flush()
}

// csvHeader is the first line, in the order of [exported].
var csvHeader = []string{
	"id", "op_id", "ref_op_id", "writer_id", "seq", "occurred_at", "created_at", "action", "outcome", "settled_by",
	"user_id", "ip_address", "user_agent", "request_id", "tenant_id", "resource_type", "resource_id", "file_key",
	"storage_backend", "bucket", "grant_id", "size", "sha256", "content_type", "error_code", "attrs",
}

// WriteCSV writes entries to w as CSV (RFC 4180, UTF-8, a header line) and
// returns how many it wrote. Values are those of [WriteJSONL]; what is not set
// is empty, and attrs is a JSON object in one field. It ends with the first
// error, of the entries or of w; what came before an error of the entries is
// written.
//
// A file name or a user agent may be a formula, which a spreadsheet would
// compute when somebody opens the export. So a text that begins with one of
// = + - @ or an apostrophe has an apostrophe put before it, which spreadsheets
// take for the mark of a text: a program that reads the export removes one
// apostrophe from the beginning of each field. It must be opened with the comma
// as the separator.
func WriteCSV(w io.Writer, entries iter.Seq2[Entry, error]) (n int64, err error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	flush := func() error {
		out.Flush()
		return out.Error()
	}
	if err := out.Write(csvHeader); err != nil {
		return 0, err
	}
	for e, err := range entries {
		if err != nil {
			return n, errors.Join(err, flush())
		}
		record, err := csvRecord(exportOf(e))
		if err != nil {
			return n, err
		}
		if err := out.Write(record); err != nil {
			return n, err
		}
		n++
	}
	return n, flush()
}

func csvRecord(x exported) ([]string, error) {
	var size, attrs string
	if x.Size != nil {
		size = strconv.FormatInt(*x.Size, 10)
	}
	if len(x.Attrs) > 0 {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(x.Attrs); err != nil {
			return nil, err
		}
		attrs = strings.TrimSuffix(b.String(), "\n")
	}
	record := []string{
		x.ID, x.OpID, x.RefOpID, x.WriterID, strconv.FormatInt(x.Seq, 10), x.OccurredAt, x.CreatedAt, x.Action, x.Outcome, x.SettledBy,
		x.UserID, x.IP, x.UserAgent, x.RequestID, x.TenantID, x.ResourceType, x.ResourceID, x.Key,
		x.Backend, x.Bucket, x.GrantID, size, x.SHA256, x.ContentType, x.ErrorCode, attrs,
	}
	for i, s := range record {
		// A tab or a line end is stored escaped, but not by every Reader. The
		// wide signs are formulas in East Asian versions.
		if strings.IndexAny(s, "=+-@'\t\r\n＝＋－＠") == 0 {
			record[i] = "'" + s
		}
	}
	return record, nil
}
