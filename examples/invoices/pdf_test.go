package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFindDetails(t *testing.T) {
	for text, want := range map[string]details{
		"INVOICE\nInvoice number: 2026-0042\nDate: 2026-11-02\nNet 2020.00\nTotal EUR 2403.80\n": {Number: "2026-0042", Date: "2026-11-02", Total: "2403.80", Currency: "EUR"},
		"Rechnungsnummer: RE-17/3\nRechnungsdatum: 2.11.2026\nGesamtbetrag 1.234,50 €":           {Number: "RE-17/3", Date: "2026-11-02", Total: "1234.50", Currency: "EUR"},
		"Invoice No. A1\nInvoice date: 2 November 2026\nSubtotal $900.00\nTotal $1,234.50":       {Number: "A1", Date: "2026-11-02", Total: "1234.50", Currency: "USD"},
		"Invoice #77\nIssued on November 2, 2026\nAmount due: CHF 1'000.00":                      {Number: "77", Date: "2026-11-02", Total: "1000.00", Currency: "CHF"},
		"Total 10.00\nTotal 12.00 GBP": {Total: "12.00", Currency: "GBP"},
		"Date: 31.13.2026":             {},
		"nothing of that":              {},
	} {
		assert.Equal(t, want, findDetails(text), text)
	}
}

func TestParseCents(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "7": 700, "7.5": 750, "7.05": 705, "-3.20": -320, " 2403.80 ": 240380, "9999999999999.99": 999999999999999} {
		got, ok := parseCents(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", ".", "1.", ".5.", "1,5", "1.234", "1e3", "0x10", "-", "-.5", "--1", "1-", "1.-5", "NaN", "99999999999999"} {
		_, ok := parseCents(text)
		assert.False(t, ok, text)
	}
}

// What one database would refuse, or keep as something else, all of them do.
func TestDetailsThatAreRefused(t *testing.T) {
	good := details{Number: strings.Repeat("ü", 64), Date: "2026-11-02", Total: "1", TransactionID: strings.Repeat("ß", 64)}
	require.NoError(t, new(invoice).set(good))
	for _, text := range []string{"a\x00b", "a\xffb", "a\nb", strings.Repeat("ü", 65)} {
		d := good
		d.Number = text
		require.ErrorContains(t, new(invoice).set(d), "details", "%q", text)
		d = good
		d.TransactionID = text
		require.ErrorContains(t, new(invoice).set(d), "details", "%q", text)
	}

	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	a := anna.send("/invoice/upload_file_direct", "a.pdf", "%PDF-1.7\n", "number", "1", "date", "2026-11-02", "total", "1", "transaction_id", " ")
	assert.Equal(t, 422, a.status, a.body)
	a = anna.send("/invoice/upload_file", "a.pdf", "%PDF-1.7\n")
	assert.Equal(t, 422, a.status, a.body)
	assert.Contains(t, a.body, "before the file")
	pdf, err := os.ReadFile(invoicePDF)
	require.NoError(t, err)
	a = anna.send("/invoice/upload_file_auto", "a.pdf", string(pdf), "transaction_id", "a\x00b")
	assert.Equal(t, 422, a.status, a.body)
	assert.Contains(t, a.body, "transaction_id")
	assert.Equal(t, 401, anna.do("POST", "/auth/login", map[string]string{"email": "a\x00@b.example", "password": password}).status)
}

// A parser of what anybody sends may fail, but answers, and takes nobody along.
func TestHostilePDFs(t *testing.T) {
	s := start(t, nil)
	good, err := os.ReadFile(invoicePDF)
	require.NoError(t, err)
	d, err := s.readPDF(t.Context(), good)
	require.NoError(t, err)
	assert.Equal(t, "2026-0042", d.Number)

	anna := s.user("anna@north.example", "north")
	for name, content := range map[string][]byte{
		"cut off": good[:len(good)/2], "header only": []byte("%PDF-1.7\n"), "no objects": []byte("%PDF-1.7\nxref\n0 0\ntrailer\n<<>>\nstartxref\n9\n%%EOF"),
		"pages that are their own children": bytes.Replace(good, []byte("/Kids [3 0 R]"), []byte("/Kids [2 0 R]"), 1),
		"a reference to nothing":            bytes.Replace(good, []byte("/Contents 4 0 R"), []byte("/Contents 9 0 R"), 1),
		"an enormous count":                 bytes.Replace(good, []byte("/Count 1 "), []byte("/Count 9"), 1),
		"a length that lies":                bytes.Replace(good, []byte("/Length 1312"), []byte("/Length 9999"), 1),
	} {
		a := anna.send("/invoice/upload_file_auto", "a.pdf", string(content))
		assert.Contains(t, []int{201, 422}, a.status, "%s: %s", name, a.body)
		if a.status == 422 {
			assert.Contains(t, strings.ToLower(a.body), "by hand", name)
		}
	}
	assert.Equal(t, 200, anna.do("GET", "/invoice", nil).status)
}

func FuzzFindDetails(f *testing.F) {
	f.Add("Invoice number: 2026-0042\nDate: 2026-11-02\nTotal EUR 2403.80")
	f.Fuzz(func(t *testing.T, text string) {
		var i invoice
		_ = i.set(findDetails(text)) // whatever it finds is checked
	})
}
