package audit

// This file implements entries as text, for auditors and for other programs. Both
// formats name the fields as the columns of the SQL journal are named, and hold
// one entry at a time in memory.

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"iter"
	"strings"
)

// WriteJSONL writes entries to w as JSON Lines, one object for each, and returns
// how many it wrote. An object has a member for each of [Columns] that is set, in
// their order; [Column.AppendJSON] says how values are written. It ends with the first
// error, of the entries or of w; entries before an error of the entries are
// written.
//
//	n, err := audit.WriteJSONL(w, journal.Entries(ctx, audit.Query{TenantID: "acme"}))
func WriteJSONL(w io.Writer, entries iter.Seq2[Entry, error]) (n int64, err error) {
	buffered := bufio.NewWriter(w)
	var line []byte
	for e, err := range entries {
		if err != nil {
			return n, errors.Join(err, buffered.Flush())
		}
		line = append(appendEntry(line[:0], &e), '\n')
		if _, err := buffered.Write(line); err != nil {
			return n, err
		}
		n++
	}
	return n, buffered.Flush()
}

func appendEntry(b []byte, e *Entry) []byte {
	columns := Columns()
	b = append(b, '{')
	for i := range columns {
		v := columns[i].get(e)
		if v == nil {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = appendString(b, columns[i].Name)
		b = append(b, ':')
		b = columns[i].AppendJSON(b, v)
	}
	return append(b, '}')
}

// WriteCSV writes entries to w as CSV (RFC 4180, UTF-8, a header line) and
// returns how many it wrote. Values are those of [WriteJSONL] without quotes;
// what is not set is empty, and details and attrs are JSON objects in one field
// each. It ends with the first error, of the entries or of w; entries before an
// error of the entries are written.
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
	columns := Columns()
	record := make([]string, len(columns))
	for i := range columns {
		record[i] = columns[i].Name
	}
	if err := out.Write(record); err != nil {
		return 0, err
	}
	for e, err := range entries {
		if err != nil {
			return n, errors.Join(err, flush())
		}
		for i := range columns {
			record[i] = csvField(&columns[i], columns[i].get(&e))
		}
		if err := out.Write(record); err != nil {
			return n, err
		}
		n++
	}
	return n, flush()
}

func csvField(c *Column, v any) string {
	s, ok := v.(string)
	switch {
	case v == nil:
		return ""
	case !ok:
		s = strings.Trim(string(c.AppendJSON(nil, v)), `"`)
	}
	// A tab or a line end is stored escaped, but not by every Reader. The
	// wide signs are formulas in East Asian versions.
	if strings.IndexAny(s, "=+-@'\t\r\n＝＋－＠") == 0 {
		return "'" + s
	}
	return s
}
