package readpdf

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// This file implements the search for the total.

type sumsFound struct {
	candidates
	totals []int64 // with their signs
	gross  bool    // a label states that the total includes the taxes
	names  []string
	nets   []int64
	taxes  []int64
	rates  []string // tax rates, in percent
	loose  []int64  // amounts next to words for possible totals
	all    []int64
	paid   bool // the file mentions a payment
}

func (f *finder) total() (int64, bool) {
	found := &sumsFound{candidates: candidates{name: "total"}}
	for n, l := range f.lines {
		monies := amounts(l.text)
		found.all = append(found.all, monies...)
		found.paid = found.paid || len(monies) > 0 && payments.MatchString(l.text)
		bounds := f.bounds(l.text)
		for i := range len(bounds) - 1 {
			f.readSum(found, n, l, bounds[i], bounds[i+1])
		}
	}
	f.setCurrency(found)
	if f.one(&found.candidates) == "" {
		return 0, false
	}
	return f.agree(found)
}

// bounds returns the offsets of the columns with sums, starting with the first
// column, and the end of the line.
func (f *finder) bounds(text string) []int {
	out := []int{}
	for _, at := range starts(text) {
		end := len(text)
		if i := strings.Index(text[at:], column); i >= 0 {
			end = at + i
		}
		if at == 0 || sums.MatchString(text[at:end]) || otherLabels.MatchString(text[at:]) || taxLabels.MatchString(text[at:]) {
			out = append(out, at)
		}
	}
	return append(out, len(text))
}

// readSum reads a part of a line with a possible sum.
func (f *finder) readSum(found *sumsFound, n int, l *line, at, end int) {
	text := l.text[at:end]
	monies := amounts(text)
	if taxLabels.MatchString(text) {
		if len(monies) > 0 {
			found.taxes = append(found.taxes, monies[len(monies)-1])
			found.rates = append(found.rates, rate.FindString(text))
		}
		return
	}
	gross := find(grossLabels, text)
	m := gross
	if m == nil && find(otherLabels, text) == nil {
		m = find(totalLabels, text)
	}
	switch {
	case m != nil && (strings.TrimSpace(text[m[1]:]) != "" || !isHeading(l.text)):
	case find(otherLabels, text) != nil:
		if find(netLabels, text) != nil && len(monies) > 0 {
			found.nets = append(found.nets, monies[len(monies)-1])
		}
		return
	default:
		if sums.MatchString(text) {
			found.loose = append(found.loose, monies...)
		}
		return
	}
	f.readTotalOf(found, n, l, at, text, m, gross != nil)
}

// readTotalOf reads the total after a label, found at m in a part of a line.
func (f *finder) readTotalOf(found *sumsFound, n int, l *line, at int, text string, m []int, gross bool) {
	monies, rest := amounts(text), text[m[1]:]
	if len(monies) == 0 && strings.IndexAny(rest, "0123456789") != 0 && strings.TrimSpace(rest) != "" && !strings.ContainsAny(rest, "€$£¥") {
		return // a sentence, such as "total due in 30 days"
	}
	a, ok := readTotal(text, m[1])
	stop := at + m[1] + a.end
	if !ok || l.doubt(at, stop) || l.continued(at, at+m[1], f.below(n)) || stop < len(l.text) {
		found.unclear = true
		return
	}
	found.add(formatCents(a.cents))
	found.totals = append(found.totals, a.cents)
	found.gross = found.gross || gross
	for _, name := range []string{a.currency, currencyOfLabel(text[:m[1]])} {
		if name != "" && !slices.Contains(found.names, name) {
			found.names = append(found.names, name)
		}
	}
}

// find returns the position of a label at the beginning of a text, as a whole
// word.
func find(label *regexp.Regexp, text string) []int {
	m := label.FindStringIndex(text)
	if m == nil || !wordEnd(text, m[1]) {
		return nil
	}
	return m
}

// readTotal reads the amount after a label. No other text may follow.
func readTotal(text string, from int) (amount, bool) {
	value := text[from:]
	a, ok := readAmount(value)
	if !ok || a.rest != "" {
		return a, false
	}
	// Groups of digits with spaces may be two numbers, unless the label clearly
	// ends before them.
	between := text[len(strings.TrimRight(text[:from], " \t\v:")):from]
	if between == "" { // a hyphen may belong to the label or to the number
		return a, false
	}
	if groupedBySpaces(value[:a.end]) && !strings.ContainsAny(between, ":\t\v") && value[0] >= '0' && value[0] <= '9' {
		return a, false
	}
	return a, true
}

func groupedBySpaces(text string) bool {
	for i := 1; i+1 < len(text); i++ {
		if text[i] == ' ' && text[i-1] >= '0' && text[i-1] <= '9' && text[i+1] >= '0' && text[i+1] <= '9' {
			return true
		}
	}
	return false
}

// currencyOfLabel returns the currency in a label, such as "Total EUR".
func currencyOfLabel(text string) string {
	for _, m := range currencyWords.FindAllStringSubmatch(text, -1) {
		return currencyOf(m[1] + m[2])
	}
	return ""
}

// setCurrency sets the currency if the file mentions only one.
func (f *finder) setCurrency(found *sumsFound) {
	text := f.text()
	var all []string
	for _, m := range currencyWords.FindAllStringSubmatch(text, -1) {
		name := currencyOf(m[1] + m[2])
		if name == dollar && dollarsOfTheUS.MatchString(text) {
			name = "USD"
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	switch {
	case len(found.names) == 0:
		f.doubt("currency: not found next to the total")
	case len(all) > 1:
		f.doubt("currency: the file has several values")
	case len(all) == 0 || all[0] == dollar || all[0] == unknown:
		f.doubt("currency: it may be that of several countries")
	default:
		f.currency = all[0]
	}
}

// agree compares the total with the other amounts in the file.
func (f *finder) agree(found *sumsFound) (int64, bool) {
	total := found.totals[0]
	size := max(total, -total)
	text := f.text()
	unclear := func(reason string) (int64, bool) {
		f.doubt("total: %s", reason)
		return 0, false
	}
	switch credit := creditWords.MatchString(text); {
	case credit && total >= 0:
		return unclear("the file seems to be a credit note, and its total is not negative")
	case found.paid:
		return unclear("a part of it was paid")
	case withoutTaxes.MatchString(text):
		return unclear("taxes may come on top of it")
	}
	for _, n := range found.loose {
		if n != size {
			return unclear("there are other sums")
		}
	}
	for _, n := range found.all {
		if n > size {
			return unclear("there is a larger amount")
		}
	}
	if len(found.taxes) == 0 {
		if len(found.nets) > 0 && !found.gross && !slices.Contains(found.nets, size) {
			return unclear("it differs from the net amount, and there are no taxes")
		}
		return total, true
	}
	var taxes int64
	for _, n := range found.taxes {
		taxes += n
	}
	for _, n := range found.nets {
		if n+taxes == size {
			return total, true
		}
	}
	if found.gross && len(found.nets) == 0 && len(found.taxes) == 1 && holds(size, found.taxes[0], found.rates[0]) {
		return total, true
	}
	return unclear("net amount and taxes do not add up to it")
}

var rate = regexp.MustCompile(`[0-9]{1,2}(?:[.,][0-9])?[ \t]*%`)

// holds reports whether a total includes a tax at a rate, accurate to the cent.
func holds(total, tax int64, rate string) bool {
	percent, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimRight(rate, " \t%"), ",", "."), 64)
	return err == nil && tax > 1 && math.Abs(float64(total)*percent/(100+percent)-float64(tax)) <= 1
}
