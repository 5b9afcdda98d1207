package sqlaudit

// The way from page to page. A page has to cost the same however many entries
// there are, and that must not be left to what a database believes of them.

import "github.com/blobtrail/blobtrail/audit"

// walk goes through entries in the order of their ids: along the index of a
// column, within one value, or along the ids themselves.
type walk struct {
	column, value string
	few           bool // entries are so few that they are sorted
	newest        bool
}

// walk is how to go through what q selects, and the rest of q, which is still to
// be selected by.
//
// PostgreSQL knows that entries of one user, say, stand in the order of id in the
// index of users and in that of ids. It takes the latter if the user has many of
// all entries, as though they were spread evenly. Those of one who left long ago
// are not: it then reads all that came since. So the condition on an index's first
// column is put as one on a list, whose order is that of the column first: that it
// has one value, for which the order of the ids does, is not seen by it.
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

// after selects what follows the entry of id, or all if that is nil.
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
