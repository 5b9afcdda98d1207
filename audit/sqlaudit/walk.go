package sqlaudit

// This file implements paging. A page must cost the same in a trail of any
// size. This must not depend on the statistics of the database.

import "github.com/blobtrail/blobtrail/audit"

// walk reads entries in the order of their IDs: along the index of a column for
// one value, or along the primary key.
type walk struct {
	column, value string
	few           bool // few entries match, so they can be sorted
	newest        bool
}

// walk returns the way to read the entries that q selects, and the rest of q as
// conditions.
//
// In PostgreSQL, both the index on user_id, for example, and the index on id
// return the entries of one user in the order of id. If the user has a large
// share of all entries, PostgreSQL chooses the index on id, because it assumes
// that the entries are spread evenly. If the user left long ago, PostgreSQL
// then reads all later entries first.
//
// walk prevents this choice: it compares the column with a list and sorts by
// the column first. PostgreSQL does not notice that the list has only one
// value, which would make sorting by id sufficient.
func (j *Journal) walk(q audit.Query) (walk, audit.Query) {
	w := walk{newest: q.NewestFirst}
	if !j.d.strays() {
		return w, q
	}
	if q.OpID != "" {
		w.few = true
		return w, q
	}
	for _, field := range []struct {
		column string
		value  *string
	}{{"grant_id", &q.GrantID}, {"file_key", &q.Key}, {"resource_id", &q.Resource.ID}, {"user_id", &q.UserID}, {"tenant_id", &q.TenantID}} {
		if *field.value != "" {
			w.column, w.value = field.column, *field.value
			*field.value = ""
			break
		}
	}
	return w, q
}

// after returns the conditions for the entries after id, or for all entries if
// id is nil.
func (w walk) after(id any) (where []string, args []any, order string) {
	beyond, direction := "id > ?", ""
	if w.newest {
		beyond, direction = "id < ?", " DESC"
	}
	order = "id" + direction
	switch {
	case w.column != "":
		where, args = append(where, w.column+" = ANY (ARRAY[?])"), append(args, w.value)
		order = w.column + direction + ", " + order
	case w.few:
		order = `id::text COLLATE "C"` + direction
	}
	if id != nil {
		where, args = append(where, beyond), append(args, id)
	}
	return where, args, order
}
