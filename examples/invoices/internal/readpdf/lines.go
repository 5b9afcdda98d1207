package readpdf

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// This file implements lines. It arranges the glyphs of a page in reading
// order.

// The separators between glyphs in the text of a line.
const (
	gap    = "\t" // a visible space without a character in the file
	column = "\v" // a space before another column
)

type line struct {
	text   string
	glyphs []*glyph // glyph of each byte of text; nil for gap and column
	page   *interpreter
	number int // number of the line on its page
}

// splitLines returns the glyphs of each line, from top to bottom and from left
// to right.
func splitLines(glyphs []*glyph) (lines [][]*glyph) {
	sorted := slices.Clone(glyphs)
	slices.SortStableFunc(sorted, func(a, b *glyph) int { return compare(b.y, a.y) })
	for _, g := range sorted {
		if n := len(lines) - 1; n >= 0 {
			if first := lines[n][0]; first.y-g.y < 0.3*min(first.size, g.size) {
				lines[n] = append(lines[n], g)
				continue
			}
		}
		lines = append(lines, []*glyph{g})
	}
	for _, l := range lines {
		slices.SortStableFunc(l, func(a, b *glyph) int { return compare(a.x0, b.x0) })
	}
	return lines
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// lines returns the lines of a page, without empty lines.
func (in *interpreter) lines() (out []*line) {
	for _, glyphs := range splitLines(in.glyphs) {
		l := &line{page: in, number: len(out)}
		var b strings.Builder
		var before *glyph // last glyph other than a space
		spaces := 0
		for _, g := range glyphs {
			if strings.TrimSpace(g.text) == "" {
				spaces++
				continue
			}
			if before != nil {
				between := separator(before, g, spaces)
				b.WriteString(between)
				for range len(between) {
					l.glyphs = append(l.glyphs, nil)
				}
			}
			b.WriteString(g.text)
			for range len(g.text) {
				l.glyphs = append(l.glyphs, g)
			}
			before, spaces = g, 0
		}
		if l.text = b.String(); l.text != "" {
			out = append(out, l)
		}
	}
	return out
}

// separator returns the text between two glyphs. spaces is the number of space
// characters between them.
func separator(a, b *glyph, spaces int) string {
	size := max(a.size, b.size)
	switch d := (b.x0 - a.x1) / size; {
	case d > 1.5:
		return column
	case spaces == 1 && d < 0.6:
		return " "
	case spaces > 0, d > 0.12:
		return gap
	}
	return ""
}

// doubt reports whether the visible text may differ from the text between start
// and end. For example, a glyph may be hidden, or small glyphs may be set above
// others.
func (l *line) doubt(start, end int) bool {
	var first, last *glyph
	for _, g := range l.glyphs[start:end] {
		if g == nil {
			continue
		}
		if g.doubtful {
			return true
		}
		if first == nil {
			first = g
		}
		last = g
		if g.size < 0.6*first.size || first.size < 0.6*g.size {
			return true
		}
	}
	if first == nil {
		return true
	}
	own := make(map[*glyph]bool)
	for _, g := range l.glyphs {
		own[g] = true
	}
	for _, g := range l.page.glyphs {
		size := first.size
		if own[g] || strings.TrimSpace(g.text) == "" || g.x1 < first.x0-0.6*size || g.x0 > last.x1+0.6*size {
			continue
		}
		if g.y < first.y+0.9*size && g.y+0.6*g.size > first.y-0.15*size {
			return true
		}
	}
	return false
}

// continued reports whether the text after start seems to continue in
// the line below. Its label begins at label.
func (l *line) continued(label, start int, below *line) bool {
	from, value := l.glyphs[label], l.glyphs[start]
	if below == nil || from == nil || value == nil {
		return false
	}
	at := -1
	for i, g := range below.glyphs {
		if g != nil && g.x0 >= from.x0-g.size {
			if value.y-g.y > 1.8*value.size {
				return false
			}
			at = i
			break
		}
	}
	if at < 0 {
		return false
	}
	cell, _, _ := strings.Cut(below.text[at:], column)
	if strings.ContainsAny(cell, " \t") && below.glyphs[at].x0 < value.x0-value.size {
		return false // a separate line
	}
	r, _ := utf8.DecodeRuneInString(cell)
	digits := strings.ContainsAny(cell, "0123456789")
	return digits && !strings.ContainsAny(cell, ":") || strings.ContainsRune(".,-/'’_€$£", r)
}
