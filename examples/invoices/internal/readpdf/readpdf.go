// Package readpdf reads the number, the date, the total and the currency of an
// invoice from the text of its PDF.
//
// It states a detail only if it is certain, and leaves it out otherwise: a
// person then has to look. A detail is certain if the file has one label for it,
// in one of a few languages, with one value on the same line, if that value has
// only one meaning, and if nothing else in the file speaks against it. The
// reader refuses a file as a whole if it can't see everything that the file
// shows, such as a scan, a form with fields, or text without a map to
// characters.
//
// Read works on files from anywhere. It bounds the work for each page, but the
// parser below it may panic or take long: run it in a process that may die.
package readpdf

import (
	"bytes"
	"errors"

	"github.com/ledongthuc/pdf"
)

// Details are the details of an invoice, in the form in which the service takes
// them: 2026-11-02, 2403.80, EUR. One that is not certain is empty.
type Details struct {
	Number, Date, Total, Currency string
}

const (
	maxPages = 20
	maxNodes = 1_000 // of the tree of pages
	scanned  = 0.5   // of a page, from which a picture is a scan
)

// Read returns the details of an invoice, and the reasons for which others are
// left out. An error that wraps a *[RefusalError] says why the file as a whole can't
// be read; any other is that of a file which is not a sound PDF.
func Read(content []byte) (d Details, unclear []string, err error) {
	r, err := pdf.NewReader(bytes.NewReader(content), int64(len(content)))
	if errors.Is(err, pdf.ErrInvalidPassword) || err == nil && !r.Trailer().Key("Encrypt").IsNull() || bytes.Contains(content, []byte("/Encrypt")) {
		return d, nil, refusef("the file is encrypted")
	}
	if err != nil {
		return d, nil, err
	}
	root := r.Trailer().Key("Root")
	if fields := root.Key("AcroForm").Key("Fields"); fields.Len() > 0 || !root.Key("AcroForm").Key("XFA").IsNull() {
		return d, nil, refusef("the file is a form with fields")
	}
	if !root.Key("OCProperties").IsNull() {
		return d, nil, refusef("the file has layers")
	}
	if names := root.Key("Names").Key("EmbeddedFiles"); root.Key("Collection").Kind() == pdf.Dict && !names.IsNull() {
		return d, nil, refusef("the file is a collection of files")
	}
	pages, err := allPages(root.Key("Pages"))
	if err != nil {
		return d, nil, err
	}
	var lines []*line
	for _, page := range pages {
		if err := checkAnnotations(page); err != nil {
			return d, nil, err
		}
		shown, err := readPage(page)
		if err != nil {
			return d, nil, err
		}
		if shown.images > scanned {
			return d, nil, refusef("the file is a scan: it shows pictures of its pages")
		}
		found := shown.lines()
		if len(found) == 0 && shown.images > 0 {
			return d, nil, refusef("the file is a scan: it shows pictures and no text")
		}
		lines = append(lines, found...)
	}
	if len(lines) == 0 {
		return d, nil, refusef("the file has no text, as a scan")
	}
	f := &finder{lines: lines}
	d = f.details()
	return d, f.unclear, nil
}

// allPages returns the pages of a tree, if they are as many as it says.
func allPages(root pdf.Value) (pages []pdf.Value, err error) {
	nodes := 0
	var walk func(v pdf.Value, depth int) error
	walk = func(v pdf.Value, depth int) error {
		if nodes++; nodes > maxNodes || depth > maxNesting {
			return refusef("the file has too many pages")
		}
		switch v.Key("Type").Name() {
		case "Page":
			if pages = append(pages, v); len(pages) > maxPages {
				return refusef("the file has more than %d pages", maxPages)
			}
		case "Pages":
			kids := v.Key("Kids")
			for i := range kids.Len() {
				if err := walk(kids.Index(i), depth+1); err != nil {
					return err
				}
			}
		default:
			return refusef("the pages of the file are damaged")
		}
		return nil
	}
	if err := walk(root, 0); err != nil {
		return nil, err
	}
	if root.Key("Count").Int64() != int64(len(pages)) || len(pages) == 0 {
		return nil, refusef("the pages of the file are damaged")
	}
	return pages, nil
}

// checkAnnotations refuses a page with comments, stamps or fields, whose text
// is not in its content.
func checkAnnotations(page pdf.Value) error {
	annotations := page.Key("Annots")
	for i := range annotations.Len() {
		if annotations.Index(i).Key("Subtype").Name() != "Link" {
			return refusef("the file has comments or fields")
		}
	}
	return nil
}
