package audit

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Details are the facts that the library itself records with an operation. Some
// of them determine how Reconcile settles an operation after a crash. They are
// therefore separate fields, and attributes of the application cannot overwrite
// them. The zero value of a field means that the fact is unknown or does not
// apply.
//
// Text follows the rules of [Event]. Each value has at most 2,048 bytes.
type Details struct {
	Filename string    // upload: the original name of the file; unsafe as a path
	Method   string    // links: the HTTP method that the link permits
	Expires  time.Time // links and tickets: the expiry, in UTC with seconds
	Range    string    // download: the ranges read, each as "offset-length", separated by commas

	// The remaining fields are the facts that Reconcile needs to settle an open
	// operation.

	Staged       bool     // upload: the object remains only if the application's transaction commits
	Committed    bool     // upload: that transaction committed; set only with Staged
	Replaces     bool     // move: an object existed at the destination
	ETag         string   // copy, move, delete: the version of the object to read or remove
	StagingKey   string   // direct upload: the private key that receives the content
	MaxSize      *int64   // direct upload: the maximum size in bytes; nil means unlimited
	AllowedTypes []string // direct upload: the permitted MIME types; empty permits all
}

// detail maps a fact to its stored name and text.
type detail struct {
	name string
	get  func(d *Details) string // returns "" if the fact is not set
	set  func(d *Details, text string) error
}

// details lists the facts, sorted by name.
var details = []detail{
	{"allowed_types", func(d *Details) string { return strings.Join(d.AllowedTypes, ",") }, func(d *Details, s string) error {
		d.AllowedTypes = strings.Split(s, ",")
		return nil
	}},
	textDetail("etag", func(d *Details) *string { return &d.ETag }),
	{"expires", func(d *Details) string { return formatExpiry(d.Expires) }, func(d *Details, s string) (err error) {
		d.Expires, err = time.Parse(time.RFC3339, s)
		return err
	}},
	textDetail("filename", func(d *Details) *string { return &d.Filename }),
	{"max_size", func(d *Details) string { return formatSize(d.MaxSize) }, func(d *Details, s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		d.MaxSize = &n
		return err
	}},
	textDetail("method", func(d *Details) *string { return &d.Method }),
	textDetail("range", func(d *Details) *string { return &d.Range }),
	{"replaces", func(d *Details) string { return formatFlag(d.Replaces, "true") }, func(d *Details, s string) error {
		d.Replaces = s == "true"
		return nil
	}},
	{"staged", func(d *Details) string {
		if d.Committed {
			return formatFlag(d.Staged, "committed")
		}
		return formatFlag(d.Staged, "pending")
	}, func(d *Details, s string) error {
		d.Staged, d.Committed = s == "pending" || s == "committed", s == "committed"
		return nil
	}},
	textDetail("staging_key", func(d *Details) *string { return &d.StagingKey }),
}

func textDetail(name string, field func(d *Details) *string) detail {
	return detail{
		name,
		func(d *Details) string { return *field(d) },
		func(d *Details, s string) error { *field(d) = s; return nil },
	}
}

func formatExpiry(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func formatSize(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func formatFlag(set bool, text string) string {
	if !set {
		return ""
	}
	return text
}

// All yields the facts that are set as pairs of name and text, in ascending
// order of the names. Journals store the facts in this form. In an SQL trail,
// the column details contains them.
func (d *Details) All() iter.Seq2[string, string] {
	return func(yield func(name, text string) bool) {
		for i := range details {
			if text := details[i].get(d); text != "" && !yield(details[i].name, text) {
				return
			}
		}
	}
}

// setText sets the fact with the given name from its text. It is the inverse of
// All, and rejects names and texts that All never yields. After an error, d is
// unspecified.
func (d *Details) setText(name, text string) error {
	i, found := slices.BinarySearchFunc(details, name, func(d detail, name string) int { return strings.Compare(d.name, name) })
	if !found {
		return fmt.Errorf("unknown detail %.100q", name)
	}
	if err := details[i].set(d, text); err != nil || text == "" || details[i].get(d) != text {
		return fmt.Errorf("invalid detail %s: %.100q", name, text)
	}
	return nil
}

// clean returns a copy of d with its text escaped and truncated. The copy
// shares no memory with d.
func (d *Details) clean() Details {
	out := *d
	for _, s := range []*string{&out.Filename, &out.Method, &out.Range, &out.ETag, &out.StagingKey} {
		*s = cleanText(*s, maxAttrValue)
	}
	out.Expires = out.Expires.UTC().Truncate(time.Second)
	if d.MaxSize != nil {
		out.MaxSize = new(*d.MaxSize)
	}
	if len(d.AllowedTypes) == 0 {
		out.AllowedTypes = nil
	} else {
		out.AllowedTypes = strings.Split(cleanText(strings.Join(d.AllowedTypes, ","), maxAttrValue), ",")
	}
	return out
}
