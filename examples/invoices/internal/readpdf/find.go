package readpdf

import (
	"fmt"
	"slices"
	"strings"
)

// This file implements the search for the details in the lines of a file.

type finder struct {
	lines   []*line
	unclear []string

	currency string
}

func (f *finder) doubt(format string, args ...any) {
	if reason := fmt.Sprintf(format, args...); !slices.Contains(f.unclear, reason) {
		f.unclear = append(f.unclear, reason)
	}
}

func (f *finder) text() string {
	var b strings.Builder
	for _, l := range f.lines {
		b.WriteString(l.text)
		b.WriteByte('\n')
	}
	return b.String()
}

// below returns the next line on the same page, or nil.
func (f *finder) below(n int) *line {
	if n+1 < len(f.lines) && f.lines[n+1].page == f.lines[n].page {
		return f.lines[n+1]
	}
	return nil
}

// details returns the certain details.
func (f *finder) details() (d Details) {
	if word := notInvoices.FindString(f.text()); word != "" {
		f.doubt("the file may not be an invoice: it contains %q", strings.TrimSpace(word))
		return d
	}
	d.Number, d.Date = f.number(), f.date()
	if total, ok := f.total(); ok {
		d.Total = formatCents(total)
		d.Currency = f.currency
	}
	return d
}

// starts returns the offsets of the columns in a line.
func starts(text string) (out []int) {
	out = []int{0}
	for i := range len(text) {
		if text[i] == column[0] {
			out = append(out, i+1)
		}
	}
	return out
}

// ends reports whether a value ends before rest.
func ends(rest string) bool { return rest == "" || rest[0] == column[0] }

// wordEnd reports whether a label that ends at end does not end inside a word.
func wordEnd(text string, end int) bool {
	return end == 0 || end >= len(text) || !isLetter(text[end-1]) || !isLetter(text[end]) && (text[end] < '0' || text[end] > '9')
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80 }

// isHeading reports whether a line is the heading of a table: it has several
// cells and no digit.
func isHeading(text string) bool {
	return strings.Count(text, column)+strings.Count(text, gap) >= 2 && !strings.ContainsAny(text, "0123456789")
}

// candidates are the possible values of a detail.
type candidates struct {
	name    string
	values  []string
	unclear bool
}

func (c *candidates) add(value string) {
	if !slices.Contains(c.values, value) {
		c.values = append(c.values, value)
	}
}

// one returns the value if there is exactly one and it is certain.
func (f *finder) one(c *candidates) string {
	switch {
	case len(c.values) > 1:
		f.doubt("%s: the file has several values", c.name)
	case c.unclear:
		f.doubt("%s: the value is unclear", c.name)
	case len(c.values) == 0:
		f.doubt("%s: not found", c.name)
	default:
		return c.values[0]
	}
	return ""
}

func (f *finder) number() string {
	c := &candidates{name: "number"}
	for n, l := range f.lines {
		for _, at := range starts(l.text) {
			m := numberLabels.FindStringIndex(l.text[at:])
			if m == nil || !wordEnd(l.text, at+m[1]) {
				continue
			}
			from := at + m[1]
			value := numberForm.FindString(l.text[from:])
			end := from + len(value)
			if !strings.ContainsAny(value, "0123456789") || len(value) > 64 || notNumbers.MatchString(value) || !ends(l.text[end:]) || l.doubt(at, end) || l.continued(at, from, f.below(n)) {
				c.unclear = true
				continue
			}
			c.add(value)
		}
	}
	// The file may also mention the number of another invoice.
	for _, l := range f.lines {
		for _, m := range aNumberLabel.FindAllStringSubmatchIndex(l.text, -1) {
			if m[2] < 0 && !slices.Contains(starts(l.text), m[0]) {
				continue // such as "date of invoice: 3 March"
			}
			if value := strings.TrimRight(l.text[m[4]:m[5]], ".-/_"); strings.ContainsAny(value, "0123456789") && !slices.Contains(c.values, value) {
				c.unclear = true
			}
		}
	}
	return f.one(c)
}

func (f *finder) date() string {
	c := &candidates{name: "date"}
	american := americas.MatchString(f.text())
	for n, l := range f.lines {
		own := map[int]bool{}
		for _, at := range starts(l.text) {
			for _, dl := range dateLabels {
				m := dl.label.FindStringIndex(l.text[at:])
				if m == nil || !wordEnd(l.text, at+m[1]) {
					continue
				}
				own[at] = true
				from := at + m[1]
				date, length, ok := readDate(l.text[from:], dl.day && !american)
				switch end := from + length; {
				case !ok && isHeading(l.text) && aDateLabel.FindString(l.text[at:]) == "":
				case !ok && !strings.ContainsAny(l.text[at:], "0123456789") && from < len(l.text):
					// A sentence begins with the word.
					c.unclear = c.unclear || aDateLabel.MatchString(l.text[at:from])
				case !ok || !ends(l.text[end:]) || l.doubt(at, end) || l.continued(at, from, f.below(n)):
					c.unclear = true
				default:
					c.add(date)
				}
				break
			}
		}
		for _, m := range aDateLabel.FindAllStringIndex(l.text, -1) {
			if !own[m[0]] { // possibly the date of another invoice
				c.unclear = true
			}
		}
	}
	return f.one(c)
}
