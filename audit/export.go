package audit

// This file implements the text formats of entries, for auditors and for other
// programs. Both formats name the fields like the columns of the SQL journal.
// Both writers hold only one entry in memory at a time.

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"iter"
	"strings"
)

// WriteJSONL writes entries to w as JSON Lines, one object for each entry, and
// returns the number of entries written. An object has a member for each of the
// [Columns] that is set, in their order. [Column.AppendJSON] encodes the
// values.
//
//	n, err := audit.WriteJSONL(w, journal.Entries(ctx, audit.Query{TenantID: "acme"}))
//
// WriteJSONL stops at the first error of the entries or of w. It writes the
// entries that precede an error of the entries.
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

// WriteCSV writes entries to w as CSV and returns the number of entries
// written. The format is RFC 4180 in UTF-8 with a header line and commas as
// separators. The values are those of [WriteJSONL] without quotes. A value that
// is not set is empty. Details and attrs are one JSON object each. Like
// WriteJSONL, WriteCSV stops at the first error.
//
// A file name or a user agent may contain a formula, which a spreadsheet would
// evaluate on opening the export. WriteCSV therefore inserts an apostrophe
// before text that begins with = + - @ or an apostrophe. Spreadsheets read the
// apostrophe as the mark of a text. A program that reads the export must remove
// one apostrophe from the beginning of each field.
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
	// Journals store tabs and line ends escaped, but a Reader may return them
	// unescaped. East Asian spreadsheets also treat the full-width signs as
	// formulas.
	if strings.IndexAny(s, "=+-@'\t\r\n＝＋－＠") == 0 {
		return "'" + s
	}
	return s
}
