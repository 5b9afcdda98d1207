package readpdf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// This file implements the parser for unambiguous dates.

var (
	isoDate     = regexp.MustCompile(`^([0-9]{4})-([0-9]{2})-([0-9]{2})`)
	numericDate = regexp.MustCompile(`^([0-9]{1,2})([./-])[ ]?([0-9]{1,2})([./-])[ ]?([0-9]{4})`)
	dayMonth    = regexp.MustCompile(`(?i)^([0-9]{1,2})(?:\.|st|nd|rd|th|er)?[ \t]+(?:de[ \t]+)?(\pL{3,10})\.?,?[ \t]+(?:de[ \t]+)?([0-9]{4})`)
	monthDay    = regexp.MustCompile(`(?i)^(\pL{3,9})\.?[ \t]+([0-9]{1,2})(?:st|nd|rd|th)?,?[ \t]+([0-9]{4})`)
)

var months = func() map[string]int {
	out := map[string]int{}
	for _, names := range []string{
		"january february march april may june july august september october november december",
		"jan feb mar apr may jun jul aug sep oct nov dec",
		"januar februar märz april mai juni juli august september oktober november dezember",
		"jan feb mär apr mai jun jul aug sept okt nov dez",
		"janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
		"gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
		"enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
	} {
		for i, name := range strings.Fields(names) {
			out[name] = i + 1
		}
	}
	return out
}()

// readDate parses a date at the beginning of text. dayFirst means that the
// language puts the day before the month. readDate returns the date, the length
// of its text, and whether the text has an unambiguous date.
func readDate(text string, dayFirst bool) (date string, end int, ok bool) {
	if m := isoDate.FindStringSubmatch(text); m != nil {
		return day(m[1], m[2], m[3], len(m[0]))
	}
	if m := numericDate.FindStringSubmatch(text); m != nil && m[2] == m[4] {
		a, _ := strconv.Atoi(m[1])
		b, _ := strconv.Atoi(m[3])
		switch {
		case dayFirst, a > 12, a == b:
			return day(m[5], m[3], m[1], len(m[0]))
		case b > 12:
			return day(m[5], m[1], m[3], len(m[0]))
		}
		return "", 0, false // day and month are ambiguous
	}
	if m := dayMonth.FindStringSubmatch(text); m != nil {
		return day(m[3], strconv.Itoa(months[strings.ToLower(m[2])]), m[1], len(m[0]))
	}
	if m := monthDay.FindStringSubmatch(text); m != nil {
		return day(m[3], strconv.Itoa(months[strings.ToLower(m[1])]), m[2], len(m[0]))
	}
	return "", 0, false
}

func day(year, month, dayOf string, end int) (string, int, bool) {
	y, _ := strconv.Atoi(year)
	m, _ := strconv.Atoi(month)
	d, _ := strconv.Atoi(dayOf)
	text := fmt.Sprintf("%04d-%02d-%02d", y, m, d)
	if _, err := time.Parse(time.DateOnly, text); err != nil || y < 1970 || y > 2100 {
		return "", 0, false
	}
	return text, end, true
}
