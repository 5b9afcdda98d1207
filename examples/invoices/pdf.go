package main

// Number, date and total of an invoice, read from its PDF. A parser of files that anybody may send has to be able to die
// alone: it runs in a process of its own, this program with another argument, which has little time and memory.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	runtimemetrics "runtime/metrics"
	"strings"
	"time"

	"github.com/ledongthuc/pdf"
)

const (
	readPDFCommand = "read-pdf"
	pdfTime        = 10 * time.Second
	pdfMemory      = 256 << 20 // bytes of heap
	pdfPages       = 5
	pdfText        = 1 << 20 // bytes
)

// readPDF returns the details that a PDF shows; those it does not are empty.
func (s *service) readPDF(ctx context.Context, content []byte) (details, error) {
	ctx, cancel := context.WithTimeout(ctx, pdfTime)
	defer cancel()
	select {
	case s.parsers <- struct{}{}:
		defer func() { <-s.parsers }()
	case <-ctx.Done():
		return details{}, ctx.Err()
	}
	self, err := os.Executable()
	if err != nil {
		return details{}, err
	}
	cmd := exec.CommandContext(ctx, self, readPDFCommand)
	cmd.Env = []string{"GOMAXPROCS=1"} // and no secrets
	cmd.Stdin = bytes.NewReader(content)
	text, err := cmd.Output()
	if err != nil {
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return details{}, refuse(422, "pdf", "The PDF can't be read", "Enter the details by hand.")
		}
		return details{}, fmt.Errorf("starting the reader of PDFs: %w", err)
	}
	return findDetails(string(text)), nil
}

// readPDFMain is that process.
func readPDFMain(in io.Reader, out io.Writer) (code int) {
	go func() {
		heap := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			if runtimemetrics.Read(heap); heap[0].Value.Uint64() > pdfMemory {
				os.Exit(3)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	defer func() {
		if recover() != nil { // of a parser that trusted the file
			code = 2
		}
	}()
	content, err := io.ReadAll(io.LimitReader(in, maxPDF))
	if err != nil {
		return 1
	}
	text, err := pdfContent(content)
	if err != nil {
		return 1
	}
	if _, err := io.WriteString(out, text); err != nil {
		return 1
	}
	return 0
}

// pdfContent returns the text of the first pages, a line for each row.
func pdfContent(content []byte) (string, error) {
	r, err := pdf.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for n := 1; n <= min(r.NumPage(), pdfPages) && b.Len() < pdfText; n++ {
		p := r.Page(n)
		if p.V.IsNull() {
			continue
		}
		rows, err := p.GetTextByRow()
		if err != nil {
			return "", err
		}
		for _, row := range rows {
			for i, word := range row.Content {
				if i > 0 {
					b.WriteByte(' ')
				}
				b.WriteString(word.S)
			}
			b.WriteByte('\n')
		}
	}
	return b.String(), nil
}

// What invoices in English and German call what is looked for.
var (
	numberLine = regexp.MustCompile(`(?i)(?:invoice|rechnungs?)[\s-]*(?:number|nummer|no\.?|nr\.?|#|id)\s*[:#]?\s*([A-Z0-9][A-Z0-9/_.-]*[A-Z0-9])`)
	dateLine   = regexp.MustCompile(`(?i)(?:invoice date|date of issue|issued(?: on)?|rechnungsdatum|date|datum)\s*[:]?\s*([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}\.\s?[0-9]{1,2}\.\s?[0-9]{4}|[0-9]{1,2} [A-Za-z]{3,9} [0-9]{4}|[A-Za-z]{3,9} [0-9]{1,2}, [0-9]{4})`)
	totalLine  = regexp.MustCompile(`(?im)^.*?\b(?:grand total|amount due|total due|total|gesamtbetrag|rechnungsbetrag|gesamt|summe)\b([^0-9\n-]*)(-?[0-9](?:[0-9.,' ]*[0-9])?)([^\n]*)`)
	currency   = regexp.MustCompile(`EUR|USD|GBP|CHF|€|\$|£`)
)

var (
	dateForms  = []string{time.DateOnly, "2.1.2006", "2. 1. 2006", "2. 1.2006", "2.1. 2006", "2 January 2006", "2 Jan 2006", "January 2, 2006", "Jan 2, 2006"}
	currencies = map[string]string{"€": "EUR", "$": "USD", "£": "GBP"}
)

// findDetails looks for the details in a text. Of several totals the last counts.
func findDetails(text string) (d details) {
	if m := numberLine.FindStringSubmatch(text); m != nil {
		d.Number = m[1]
	}
	if m := dateLine.FindStringSubmatch(text); m != nil {
		for _, form := range dateForms {
			if t, err := time.Parse(form, m[1]); err == nil {
				d.Date = t.Format(time.DateOnly)
				break
			}
		}
	}
	if all := totalLine.FindAllStringSubmatch(text, -1); all != nil {
		m := all[len(all)-1]
		d.Total = plainAmount(m[2])
		d.Currency = currency.FindString(m[1] + " " + m[3])
		if name := currencies[d.Currency]; name != "" {
			d.Currency = name
		}
	}
	return d
}

// plainAmount turns 1,234.50 and 1.234,50 into 1234.50.
func plainAmount(s string) string {
	s = strings.NewReplacer(" ", "", "'", "").Replace(s)
	if i := strings.LastIndexAny(s, ".,"); i >= 0 && len(s)-i <= 3 {
		return strings.NewReplacer(".", "", ",", "").Replace(s[:i]) + "." + s[i+1:]
	}
	return strings.NewReplacer(".", "", ",", "").Replace(s)
}
