package main

// Number, date and total of an invoice, read from its PDF. A parser of files that anybody may send has to be able to die
// alone: it runs in a process of its own, this program with another argument, which has little time and memory.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	runtimemetrics "runtime/metrics"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/examples/invoices/internal/readpdf"
)

const (
	readPDFCommand = "read-pdf"
	pdfTime        = 10 * time.Second
	pdfMemory      = 256 << 20 // bytes of heap
)

// pdfResult is what that process writes, as JSON.
type pdfResult struct {
	Details readpdf.Details
	Unclear []string // why some details are not certain
	Refused string   // why the file as a whole can't be read
}

// readPDF returns the details that a PDF shows. If one of them is not certain, the
// error is a problem that has those which are.
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
	out, err := cmd.Output()
	var result pdfResult
	if err == nil {
		err = json.Unmarshal(out, &result)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		result.Refused = "it is damaged, or too large to read"
	} else if err != nil {
		return details{}, fmt.Errorf("starting the reader of PDFs: %w", err)
	}
	d := details{Number: result.Details.Number, Date: result.Details.Date, Total: result.Details.Total, Currency: result.Details.Currency}
	switch {
	case result.Refused != "":
		return details{}, unclearPDF("The PDF can't be read", result.Refused, details{})
	case len(result.Unclear) > 0 || d.Number == "" || d.Date == "" || d.Total == "" || d.Currency == "":
		return d, unclearPDF("The PDF does not show all details with certainty", strings.Join(result.Unclear, "; "), d)
	}
	return d, nil
}

// unclearPDF refuses a PDF. The problem has the details that are certain, so that a
// client can show them in a form; upload_file takes what a person confirms.
func unclearPDF(title, reason string, found details) error {
	return &blobhttp.Problem{
		Status: 422, Code: "pdf", Title: title, Detail: strings.TrimSpace(strings.ToUpper(reason[:min(1, len(reason))])+reason[min(1, len(reason)):]+".") + " Check the invoice and enter the details by hand.",
		Extensions: map[string]any{"found": map[string]string{"number": found.Number, "date": found.Date, "total": found.Total, "currency": found.Currency}},
	}
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
	var result pdfResult
	result.Details, result.Unclear, err = readpdf.Read(content)
	if refusal := (*readpdf.RefusalError)(nil); errors.As(err, &refusal) {
		result.Refused = refusal.Reason
	} else if err != nil {
		return 1
	}
	if err := json.NewEncoder(out).Encode(result); err != nil {
		return 1
	}
	return 0
}
