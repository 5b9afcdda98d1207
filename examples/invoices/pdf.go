package main

// This file implements reading the number, date and total of an invoice from
// its PDF. The PDF is untrusted, and the parser may crash. It therefore runs in
// a separate process with limited time and memory: this program with another
// argument.

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

// pdfResult is the JSON output of the separate process.
type pdfResult struct {
	Details readpdf.Details
	Unclear []string // reasons why some details are uncertain
	Refused string   // reason why the whole file is unreadable
}

// readPDF returns the details in a PDF. If a detail is uncertain, the error is
// a problem with the certain details.
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
	cmd.Env = []string{"GOMAXPROCS=1"} // without the secrets of this process
	cmd.Stdin = bytes.NewReader(content)
	out, err := cmd.Output()
	var result pdfResult
	if err == nil {
		err = json.Unmarshal(out, &result)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		result.Refused = "the file is damaged or too large to read"
	} else if err != nil {
		return details{}, fmt.Errorf("running the PDF reader: %w", err)
	}
	d := details{Number: result.Details.Number, Date: result.Details.Date, Total: result.Details.Total, Currency: result.Details.Currency}
	switch {
	case result.Refused != "":
		return details{}, unclearPDF("Unreadable PDF", result.Refused, details{})
	case len(result.Unclear) > 0 || d.Number == "" || d.Date == "" || d.Total == "" || d.Currency == "":
		return d, unclearPDF(titleUnclear, strings.Join(result.Unclear, "; "), d)
	}
	return d, nil
}

const titleUnclear = "Uncertain details in PDF"

// unclearPDF returns a problem for a PDF. It includes the certain details, so
// that a client can show them in a form. upload_file accepts the details after
// a person has confirmed them.
func unclearPDF(title, reason string, found details) error {
	return &blobhttp.Problem{
		Status: 422, Code: "pdf", Title: title, Detail: strings.TrimSpace(strings.ToUpper(reason[:min(1, len(reason))])+reason[min(1, len(reason)):]+".") + " Check the invoice and enter the details by hand.",
		Extensions: map[string]any{"found": map[string]string{"number": found.Number, "date": found.Date, "total": found.Total, "currency": found.Currency}},
	}
}

// readPDFMain is the main function of the separate process.
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
		if recover() != nil { // the parser panicked on a damaged file
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
