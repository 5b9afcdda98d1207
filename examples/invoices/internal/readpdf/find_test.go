package readpdf

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// page lays out a text in a font of equal widths. A tab is a gap, and a
// vertical tab starts another column.
func page(text string) *finder {
	in := &interpreter{}
	y := 800.0
	for line := range strings.Lines(text) {
		x := 50.0
		for _, r := range strings.TrimRight(line, "\n") {
			switch r {
			case '\t':
				x += 4
				continue
			case '\v':
				x += 60
				continue
			}
			if r != utf8.RuneError {
				in.glyphs = append(in.glyphs, &glyph{text: string(r), x0: x, x1: x + 6, y: y, size: 10, middle: y + 3})
			}
			x += 6
		}
		y -= 14
	}
	return &finder{lines: in.lines()}
}

func TestDetailsOfTexts(t *testing.T) {
	const head = "Invoice number: 2026-0042\nInvoice date: 2026-11-02\n"
	const kopf = "Rechnungsnummer: RE-17/3\nRechnungsdatum: 2.11.2026\n"
	english := func(total, currency string) Details { return Details{"2026-0042", "2026-11-02", total, currency} }
	german := func(total string) Details { return Details{"RE-17/3", "2026-11-02", total, "EUR"} }
	for text, want := range map[string]Details{
		"INVOICE\nInvoice number: 2026-0042\nDate: 2026-11-02\nNet 2020.00\nVAT 19 % 383.80\nTotal EUR 2403.80": english("2403.80", "EUR"),
		kopf + "Gesamtbetrag 1.234,50 €":                                                               german("1234.50"),
		"Invoice #77\nIssued on November 2, 2026\nAmount due: CHF 1'000.00":                            {"77", "2026-11-02", "1000.00", "CHF"},
		head + "Subtotal US$ 900.00\nTotal US$ 900.00":                                                 english("900.00", "USD"),
		kopf + "Rechnungsbetrag: 119,00 €\nMwSt 19 %: 19,00 €":                                         german("119.00"),
		kopf + "Gesamtbetrag inkl. 19 % MwSt: 119,00 €":                                                german("119.00"),
		"Rechnungsnummer\tRE-17/3\vRechnungsdatum\t2.11.2026\nGesamtbetrag\v-1.234,50 EUR\nGutschrift": german("-1234.50"),

		// One detail is missing or uncertain. The others are found.
		"Total 10.00\nTotal 12.00 GBP":                      {},
		"Date: 31.13.2026":                                  {},
		"nothing of that":                                   {},
		head + "Total: 10.00":                               {"2026-0042", "2026-11-02", "10.00", ""},
		head + "Total: $10.00":                              {"2026-0042", "2026-11-02", "10.00", ""},
		head + "Total: 10.00 EUR\nFor instance 10.00 USD":   {"2026-0042", "2026-11-02", "10.00", ""},
		"Invoice date: 2026-11-02\nTotal: 10.00 EUR":        {"", "2026-11-02", "10.00", "EUR"},
		"Invoice number: 2026-0042\nTotal: 10.00 EUR":       {"2026-0042", "", "10.00", "EUR"},
		"Invoice number: 2026\t0042\n" + head:               {Date: "2026-11-02"},
		"Fecha de factura: 03/11/2026\nTotal: US$ 10.00":    {"", "", "10.00", "USD"},
		"Date de facture : 03/11/2026\nTotal TTC : 10,00 €": {"", "2026-11-03", "10.00", "EUR"},
		kopf + "Gesamtbetrag: 100,00 €\nMwSt 19 %: 19,00 €": {"RE-17/3", "2026-11-02", "", ""},
	} {
		f := page(text)
		if got := f.details(); got != want {
			t.Errorf("%q: got %+v, want %+v; %q", text, got, want, f.unclear)
		}
	}
}

// The details in these texts are uncertain: each may be another amount, number
// or date.
func TestUncertainTexts(t *testing.T) {
	const head = "Invoice number: 2026-0042\nInvoice date: 2026-11-02\n"
	for _, text := range []string{
		"Total: 1.234 EUR", "Total: 1,234 EUR", "Total: 119.5 EUR", "Total: 119.123 EUR", "Total: 119.00- EUR", "Total: (119.00) EUR", "Total: - 119.00 EUR", "Total: 119.00 EUR CR",
		"Total\n119.00 EUR", "Total: 119.00 EUR\v19.00", "Total\v3\v119.00 EUR", "Total 3 200.00 EUR", "Total-119.00 EUR", "Total: 119 € 50", "Total: 0119.00 EUR", "Total: 119.00 EUR / month",
		"Net\vVAT\vTotal\n100.00\v19.00\v119.00 EUR", "Total: 100.00 EUR\nTo pay: 119.00 EUR", "Total: 100.00 EUR\nDeposit: 40.00 EUR", "Total: 100.00 EUR net", "Total (net): 100.00 EUR",
		"Total: 100.00 EUR\nAll prices exclude VAT, plus 19 % VAT.", "Total: 119.00 EUR\nCredit note", "Total: 100.00 EUR\nVAT 19 %: 19.00 EUR", "Total due in 30 days: 10.00 EUR\nTotal: 9.00 EUR",
		"Total: 119.00 EUR\nSomething\v120.00", "Total: 10.00 EUR\nPart total: 9.00 EUR", "Total Care Package 50.00 EUR\nTotal: 50.00 EUR", "Total: EUR 1.00 2.00", "Total: EUR 119\n.50",
		"Quote\nTotal: 1.00 EUR", "Total: 1,23,456.00 EUR", "Balance due: 60.00 EUR\nPayment received: 40.00 EUR", "Total: ١١٩ EUR", "Total: 119.00 eur", "Amount due: 0.00 EUR\nWork 119.00",
		"Gesamtbetrag: 119,00 €\nStorniert", "Gesamtbetrag: 119,– €", "Gesamtbetrag: –119,00 €\nGutschrift", "Zwischensumme: 119,00 €", "Nettobetrag: 119,00 €", "Gesamt netto 119,00 €",
	} {
		if d := page(head + text).details(); d.Total != "" && d.Currency != "" {
			t.Errorf("%q: the total is %q", text, d.Total)
		}
	}
	for _, text := range []string{
		"Invoice number:\nINV-1", "Invoice number: INV-1 of 2", "Invoice number: INV-", "Invoice number: abc", "Invoice number: INV–17", "Invoice number: 1\nInvoice number: 2", "Invoice number: 1\nInvoice 2",
		"Invoice number: INV-1\n   -17", "Invoice number: INV-2026\n                17", "Invoice number: DE89370400440532013000", "Invoice number: +49 30 123456", "Invoice number: 030 123456", "Invoice number: 03/11/2026",
		"Original invoice number: 1", "Invoice number: 1\nfor invoice number 2", "Invoice number\vDate\n1\v2", "Customer number: 17", "Invoice number: 12,345", "Invoice number: 119.00", "Invoice: 7",
		"Invoice number: " + strings.Repeat("1", 65), "Invoice number: DE123456789", "Invoice note 5", "Invoice nobody5",
	} {
		if d := page(text).details(); d.Number != "" {
			t.Errorf("%q: the number is %q", text, d.Number)
		}
	}
	for _, text := range []string{
		"Invoice date: 03/11/2026", "Invoice date: 03.11.2026", "Invoice date: 3-11-2026", "Rechnungsdatum: 1.3.26", "Rechnungsdatum: 31.02.2026", "Date: 2026-11-02 to 2026-11-30", "Date\n2026-11-02", "Due date: 2026-11-02",
		"Date: 2026-11-02\nDate: 2026-11-03", "Date: 2026-11-02\nOriginal invoice date: 2026-01-01", "Invoice date\vDue date\n2026-11-02\v2026-12-02", "Date: 2 Nov 26", "Date: 2026-1-2", "Date: November 2026", "Date: 2026-11-02T10:00",
		"Date: 45 March 2026", "Date: 3 Foo 2026", "Datum: 03.11.\n2026", "Date: 2026-11-0\t2", "Date: 0226-11-02",
	} {
		if d := page(text).details(); d.Date != "" {
			t.Errorf("%q: the date is %q", text, d.Date)
		}
	}
}

// A possibly invisible glyph makes its detail uncertain.
func TestDoubtfulGlyphs(t *testing.T) {
	const text = "Invoice number: 42\nDate: 2026-11-02\nTotal: 119.00 EUR"
	for i := range page(text).lines[0].page.glyphs {
		f := page(text)
		g := f.lines[0].page.glyphs[i]
		if g.text == " " {
			continue
		}
		g.doubtful = true
		if d := f.details(); d.Number != "" && d.Date != "" && d.Total != "" {
			t.Errorf("glyph %d, %q, is hidden: %+v", i, g.text, d)
		}
	}
}

func FuzzDetails(f *testing.F) {
	f.Add("Invoice number: 2026-0042\nDate: 2026-11-02\nTotal EUR 2403.80")
	f.Add("Rechnungsnummer\tRE-17/3\vRechnungsdatum\t2.11.2026\nGesamtbetrag\v-1.234,50 EUR\nGutschrift")
	f.Fuzz(func(t *testing.T, text string) {
		finder := page(text)
		d := finder.details()
		if (d.Number == "" || d.Date == "" || d.Total == "" || d.Currency == "") && len(finder.unclear) == 0 {
			t.Errorf("%q: %+v without a reason", text, d)
		}
		if d.Number+d.Date+d.Total != "" && !strings.ContainsAny(text, "0123456789") {
			t.Errorf("%q: %+v", text, d)
		}
	})
}

func FuzzLexer(f *testing.F) {
	f.Add([]byte("BT /F1 12 Tf [(a\\(\\050) -3 <414>] TJ << /A [1 2] >> BDC % x\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		l := &lexer{data: content}
		for range len(content) + 1 {
			if tok, err := l.next(0); tok == nil || err != nil {
				return
			}
		}
		t.Error("it does not end")
	})
}
