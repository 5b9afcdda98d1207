// Package readpdf reads the number, the date, the total and the currency of an
// invoice from the text of its PDF.
//
// It returns only certain details, and leaves the others for a person to enter. A
// detail is certain under these conditions: the file has one label for it, in a
// supported language; the label has one unambiguous value on the same line; and
// nothing else in the file contradicts it.
//
// The reader refuses a file if some of its visible content is not readable as
// text, such as a scan, a form with fields, or text without a character map.
//
// Read accepts untrusted files. It limits the work per page, but the underlying
// parser may panic or take a long time. Run it in a separate process.
package readpdf

import (
	"bytes"
	"errors"

	"github.com/ledongthuc/pdf"
)

// Details are the details of an invoice, in the format of the service:
// 2026-11-02, 2403.80, EUR. An uncertain detail is empty.
type Details struct {
	Number, Date, Total, Currency string
}

const (
	maxPages = 20
	maxNodes = 1_000 // nodes of the page tree
	scanned  = 0.5   // minimum fraction of the page for an image to count as a scan
)

// Read returns the certain details of an invoice, and the reasons for the
// missing ones. If the whole file is unreadable, the error wraps a
// *[RefusalError]. Any other error means that the file is not a valid PDF.
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
			return d, nil, refusef("the file is a scan: its pages are images")
		}
		found := shown.lines()
		if len(found) == 0 && shown.images > 0 {
			return d, nil, refusef("the file is a scan: it has images and no text")
		}
		lines = append(lines, found...)
	}
	if len(lines) == 0 {
		return d, nil, refusef("the file has no text; it may be a scan")
	}
	f := &finder{lines: lines}
	d = f.details()
	return d, f.unclear, nil
}

// allPages returns the pages of a page tree. Their number must match its count.
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

// checkAnnotations refuses a page with comments, stamps or fields. Their text
// is not part of the page content.
func checkAnnotations(page pdf.Value) error {
	annotations := page.Key("Annots")
	for i := range annotations.Len() {
		if annotations.Index(i).Key("Subtype").Name() != "Link" {
			return refusef("the file has comments or fields")
		}
	}
	return nil
}
