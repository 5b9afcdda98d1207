package main

import (
	"os"
	"testing"

	"github.com/blobtrail/blobtrail/internal/integration"
)

// The test binary also serves as the process that reads PDFs.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == readPDFCommand {
		os.Exit(readPDFMain(os.Stdin, os.Stdout))
	}
	integration.Main(m)
}
