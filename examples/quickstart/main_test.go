package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQuickstart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a folder", "quickstart")
	for n := 1; n <= 2; n++ {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, dir, nil))
		for _, want := range []string{
			"stored    invoices/", "application/pdf", "the same bytes", "refused with status 403", "refused with status 410",
			"anna@example.com", "denied (expired)", dir,
		} {
			assert.Contains(t, out.String(), want)
		}
		assert.Equal(t, n, strings.Count(out.String(), "  upload  "), "the trail grows:\n%s", out.String())
	}
	assert.FileExists(t, filepath.Join(dir, "blobtrail.db"))
	files, err := filepath.Glob(filepath.Join(dir, "files", "invoices", "*.pdf"))
	require.NoError(t, err)
	assert.Len(t, files, 2)
	for _, f := range files {
		got, err := os.ReadFile(f)
		require.NoError(t, err)
		assert.Equal(t, sampleInvoice, got)
	}
}

func TestQuickstartOwnFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Rechnung März.txt")
	require.NoError(t, os.WriteFile(file, []byte("hello"), 0o600))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, filepath.Join(dir, "qs"), []string{file}))
	assert.Contains(t, out.String(), "_Rechnung März.txt")
	assert.Contains(t, out.String(), "text/plain")

	require.ErrorIs(t, run(t.Context(), &out, dir, []string{filepath.Join(dir, "none")}), os.ErrNotExist)
	require.ErrorContains(t, run(t.Context(), &out, dir, []string{"a", "b"}), "want one")
}
