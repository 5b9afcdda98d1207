package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A PDF with uncertain details is not stored. The response has the certain
// details. A person can then confirm all details in the form.
func TestUnclearPDFsAreConfirmed(t *testing.T) {
	s := start(t, nil)
	anna := s.user("anna@north.example", "north")
	for name, want := range map[string]map[string]string{
		"date-ambiguous": {"number": "INV-100", "date": "", "total": "10.00", "currency": "EUR"},
		"currency-none":  {"number": "INV-100", "date": "2026-03-01", "total": "119.00", "currency": ""},
		"number-two":     {"number": "", "date": "", "total": "", "currency": ""},
		"scan":           {"number": "", "date": "", "total": "", "currency": ""},
	} {
		pdf, err := os.ReadFile("internal/readpdf/testdata/" + name + ".pdf")
		require.NoError(t, err)
		a := anna.send("/invoice/upload_file_auto", name+".pdf", string(pdf))
		require.Equal(t, 422, a.status, "%s: %s", name, a.body)
		assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
		var p struct {
			Code, Detail string
			Found        map[string]string
		}
		a.into(t, &p)
		assert.Equal(t, "pdf", p.Code)
		assert.Equal(t, want, p.Found, name)
		if name == "scan" {
			assert.Contains(t, p.Detail, "scan")
		}
	}
	assert.Empty(t, s.files())
	n, err := s.journal.OpenIntents(t.Context())
	require.NoError(t, err)
	assert.Zero(t, n)

	pdf, err := os.ReadFile("internal/readpdf/testdata/date-ambiguous.pdf")
	require.NoError(t, err)
	a := anna.send("/invoice/upload_file", "a.pdf", string(pdf), "number", "INV-100", "date", "2026-11-03", "total", "10.00", "currency", "EUR")
	assert.Equal(t, 201, a.status, a.body)
	pdf, err = os.ReadFile("internal/readpdf/testdata/hyphen.pdf")
	require.NoError(t, err)
	a = anna.send("/invoice/upload_file_auto", "a.pdf", string(pdf))
	assert.Equal(t, 201, a.status, a.body)
	assert.Contains(t, a.body, `"number":"RE-2026-17","date":"2026-03-01","total":"1234.50","currency":"EUR"`)
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

// A detail is refused on every database if one of them would refuse or change
// it.
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

// The parser of untrusted PDFs may fail, but the service still responds.
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
