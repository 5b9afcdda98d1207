package readpdf

import (
	"regexp"
	"strconv"
	"strings"
)

// This file implements the parser for unambiguous amounts of money.

// digits are the number formats. The group name selects the format.
var digits = regexp.MustCompile(`^(?:` +
	`(?P<whole>0|[1-9][0-9]*)` +
	`|(?P<cents>(?:0|[1-9][0-9]*)[.,][0-9]{2})` +
	`|(?P<commas>[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]{2})` +
	`|(?P<points>[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]{2})` +
	`|(?P<apostrophes>[1-9][0-9]{0,2}(?:['’][0-9]{3})+(?:[.,][0-9]{2})?)` +
	`|(?P<spaces>[1-9][0-9]{0,2}(?: [0-9]{3})+[.,][0-9]{2})` +
	`|(?P<millions>[1-9][0-9]{0,2}(?:(?:,[0-9]{3}){2,}|(?:\.[0-9]{3}){2,}))` +
	`)$`)

// cents parses a number without a sign. It returns false for an ambiguous
// number. For example, 1.234 may be one thousand or a little more than one.
func cents(text string) (n int64, ok bool) {
	if !digits.MatchString(text) {
		return 0, false
	}
	whole, frac := text, "00"
	if i := len(text) - 3; i > 0 && (text[i] == '.' || text[i] == ',') {
		whole, frac = text[:i], text[i+1:]
	}
	whole = strings.NewReplacer(".", "", ",", "", "'", "", "’", "", " ", "").Replace(whole)
	if len(whole) > 13 {
		return 0, false
	}
	n, err := strconv.ParseInt(whole+frac, 10, 64)
	return n, err == nil
}

// The names of currencies. A dollar may belong to one of many countries.
const (
	dollar  = "$"
	unknown = "?"
)

var currencyNames = map[string]string{
	"€": "EUR", "euro": "EUR", "euros": "EUR", "£": "GBP", "$": dollar, "us$": "USD", "dollar": dollar, "dollars": dollar, "₹": "INR", "¥": unknown, "zł": "PLN",
	"kr": unknown, "kr.": unknown, "fr.": unknown, "sfr.": unknown, "fr": unknown, "sfr": unknown, "franken": unknown, "francs": unknown, "pounds": unknown, "pfund": unknown, "yen": unknown,
	"a$": unknown, "c$": unknown, "ca$": unknown, "au$": unknown, "nz$": unknown, "hk$": unknown, "s$": unknown, "r$": unknown, "mx$": unknown,
}

const codes = `EUR|USD|GBP|CHF|CAD|AUD|NZD|JPY|CNY|HKD|SGD|INR|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|BGN|TRY|RUB|UAH|ILS|AED|SAR|ZAR|BRL|MXN|KRW|THB`

// money matches a currency.
const money = `(?:` + codes + `|(?:[A-Z]{1,2})?\$|US\$|€|£|₹|¥|zł|(?i:euros?|dollars?|kr\.?|s?fr\.?|franken|francs|pounds|pfund|yen)\b)`

// amountForm matches an amount with an optional sign, and optional currencies
// before and after it.
var amountForm = regexp.MustCompile(`^(` + money + `)?[ \t\v]*([-−])?(` + money + `)?[ \t\v]?([-−])?([0-9](?:[0-9.,'’ ]*[0-9])?)(?:[ \t\v]*(` + money + `))?(.*)$`)

type amount struct {
	cents    int64
	currency string // a value of currencyNames; empty if there is no currency
	end      int    // offset in the text
	rest     string
}

func currencyOf(text string) string {
	if name, ok := currencyNames[strings.ToLower(text)]; ok {
		return name
	}
	if strings.Contains(text, "$") {
		return unknown
	}
	return text
}

// readAmount parses an amount at the beginning of text. It returns false if
// there is no unambiguous amount.
func readAmount(text string) (a amount, ok bool) {
	m := amountForm.FindStringSubmatchIndex(text)
	if m == nil {
		return a, false
	}
	part := func(n int) string {
		if m[2*n] < 0 {
			return ""
		}
		return text[m[2*n]:m[2*n+1]]
	}
	if a.cents, ok = cents(part(5)); !ok {
		return a, false
	}
	for _, n := range []int{2, 4} {
		if part(n) == "" {
			continue
		}
		// A dash before a space may be a separator instead of a sign.
		if a.cents <= 0 || strings.ContainsAny(text[m[2*n+1]:m[2*n+1]+1], " \t\v") {
			return a, false
		}
		a.cents = -a.cents
	}
	for _, n := range []int{1, 3, 6} {
		switch name := part(n); {
		case name == "":
		case a.currency != "" && a.currency != currencyOf(name):
			return a, false
		default:
			a.currency = currencyOf(name)
		}
	}
	a.end, a.rest = m[11], part(7)
	if m[12] >= 0 {
		a.end = m[13]
	}
	return a, true
}

// inText finds possible amounts of money in a text: numbers with cents or with
// a currency.
var inText = regexp.MustCompile(`(?:(` + money + `)[ \t\v]*)?[-−]?([0-9](?:[0-9.,'’]*[0-9])?(?: [0-9]{3}[.,][0-9]{2})?(?:(?: [0-9]{3})+[.,][0-9]{2})?)(?:[ \t]*(` + money + `|%))?`)

// amounts returns the amounts of money in a text, without their signs.
func amounts(text string) (out []int64) {
	for _, m := range inText.FindAllStringSubmatch(text, -1) {
		n, ok := cents(m[2])
		whole := !strings.ContainsAny(m[2], ".,'’")
		if ok && m[3] != "%" && (!whole || m[1] != "" || m[3] != "") {
			out = append(out, n)
		}
	}
	return out
}

// formatCents formats an amount, such as 2403.80.
func formatCents(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	frac := strconv.FormatInt(n%100+100, 10)[1:]
	return sign + strconv.FormatInt(n/100, 10) + "." + frac
}
