package sqlaudit

// This file implements the search for the writers of a trail, and for rows that
// do not belong to any writer.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit/proof"
)

// proofTable is a table and the columns that Verify uses to find its rows.
type proofTable struct {
	name          string
	ids, integers []string
}

var proofTables = []proofTable{
	{"file_access_writers", []string{"writer_id"}, nil},
	{"file_access_logs", []string{"writer_id"}, []string{"seq"}},
	{"file_access_checkpoints", []string{"writer_id"}, []string{"tree_size"}},
	{"file_access_frontiers", []string{"writer_id"}, []string{"tree_size"}},
	{"file_access_erasures", []string{"writer_id", "op_id"}, []string{"first_seq"}},
}

// and returns a condition for a WHERE clause: the row's IDs and numbers have
// valid types.
func (t proofTable) and(d dialect) string {
	if odd := d.odd(t.ids, t.integers); odd != "" {
		return " AND NOT " + odd
	}
	return ""
}

// tableOf returns a table of proofTables.
func tableOf(name string) proofTable {
	for _, t := range proofTables {
		if t.name == name {
			return t
		}
	}
	panic("sqlaudit: no such table: " + name)
}

var (
	inWriters, inLogs       = tableOf("file_access_writers"), tableOf("file_access_logs")
	inCheckpoints           = tableOf("file_access_checkpoints")
	inFrontiers, inErasures = tableOf("file_access_frontiers"), tableOf("file_access_erasures")
)

const nilUUID = "00000000-0000-0000-0000-000000000000"

var errWriterUnreadable = errors.New("unreadable row in file_access_writers")

// storedWriters returns the IDs of the writers in all tables, because a
// writer's row may be missing while its entries exist. Rows that do not belong
// to any writer are findings.
func (v *verification) storedWriters(ctx context.Context) (map[string]bool, error) {
	ids := make(map[string]bool)
	for _, table := range proofTables {
		err := v.writersOf(ctx, table, ids)
		if err == nil {
			err = v.oddRows(ctx, table)
		}
		if v.refused(ctx, err) {
			v.find(kindUnreadable, "", -1, "reading the table %s failed: %v", table.name, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("sqlaudit: looking for writers in %s: %w", table.name, err)
		}
	}
	return ids, nil
}

// writersOf adds the writers of one table to ids. It needs one index lookup for
// each writer, for any number of rows.
func (v *verification) writersOf(ctx context.Context, table proofTable, ids map[string]bool) error {
	// PostgreSQL stores UUIDs. In other databases, text can sort before all
	// UUIDs.
	next, last := "writer_id", nilUUID
	if v.d.name() != "postgres" {
		next, last = v.d.short(value{column: "writer_id", limit: 36}), ""
	}
	query := "SELECT " + next + " FROM " + table.name + " WHERE writer_id %s ?" + proofTable{ids: []string{"writer_id"}}.and(v.d) + " ORDER BY writer_id LIMIT 1"
	seen := make(map[string]bool)
	for operator := ">="; ; operator = ">" {
		var found any
		err := v.db.QueryRowxContext(ctx, sqlx.Rebind(v.d.bind(), fmt.Sprintf(query, operator)), last).Scan(&found)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		id, ok := found.(string)
		if b, isBytes := found.([]byte); isBytes {
			id, ok = string(b), true
		}
		if id == oddLength+"0" {
			id = ""
		}
		if !ok || seen[id] || isOddLength([]byte(id)) {
			v.find(kindUnreadable, "", -1, "listing the writers in %s failed: %q is followed by %q", table.name, printable(last), printable(id))
			return nil
		}
		seen[id], last = true, id
		if isUUID(id) {
			ids[id] = true
		} else {
			v.find(kindWriter, "", -1, "%s has rows with the invalid writer_id %q", table.name, printable(id))
		}
	}
}

// oddRows reports the rows whose IDs or numbers have another type than this
// package stores. Index lookups do not find them.
func (v *verification) oddRows(ctx context.Context, table proofTable) error {
	odd := v.d.odd(table.ids, table.integers)
	if odd == "" {
		return nil
	}
	list := make([]string, 0, 3)
	for _, c := range append(append([]string{}, table.ids...), table.integers...) {
		list = append(list, v.d.short(value{column: c, limit: 64}))
	}
	rows, err := v.db.QueryContext(ctx, "SELECT "+strings.Join(list, ", ")+" FROM "+table.name+" WHERE "+odd)
	if err != nil {
		return err
	}
	defer rows.Close()
	for count := 0; rows.Next(); count++ {
		values := make([]any, len(list))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return err
		}
		v.checker.Find(oddRow(table, values))
	}
	return rows.Err()
}

func oddRow(table proofTable, values []any) proof.Finding {
	f := proof.Finding{Kind: kindUnreadable, Seq: -1, Last: -1}
	var described []string
	for i, column := range append(append([]string{}, table.ids...), table.integers...) {
		value := *values[i].(*any)
		text := fmt.Sprint(value)
		if b, ok := value.([]byte); ok {
			text = string(b)
		}
		if s, ok := value.(string); ok && i == 0 && s != "" && s[0] != oddLength[0] && len(s) != 36 {
			f.Kind = kindWriter // entries with an invalid writer_id
		}
		if i == 0 && isUUID(text) {
			f.WriterID = text
		}
		described = append(described, fmt.Sprintf("%s %q of type %s", column, printable(text), kindOf(value)))
	}
	f.Detail = "a row of " + table.name + " has " + strings.Join(described, ", ") + ", which this package never stores"
	return f
}
