package blobtrail_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/config"
)

// readmeProgram returns the first program of the README.
func readmeProgram(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, program, found := strings.Cut(string(text), "```go\npackage main\n")
	require.True(t, found, "the README has no program")
	program, _, found = strings.Cut(program, "```")
	require.True(t, found)
	return "package main\n" + program
}

// The program of the README works as described. Only its port is changed, so
// that tests can run concurrently.
func TestReadmeProgram(t *testing.T) {
	listener, err := net.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	program := readmeProgram(t)
	require.Contains(t, program, `"localhost:8080"`)
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	require.NoError(t, os.WriteFile(source, []byte(strings.Replace(program, "localhost:8080", address, 1)), 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "vet", source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "program"), source).CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "program"))
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("%PDF-1.7 an invoice")
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); !slices.Contains(config.Variables(), name) {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("LINK_BASE_URL=http://%s/links/", address))
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var log strings.Builder
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(output)
	next := func() string {
		require.True(t, lines.Scan(), "the program ended: %s", &log)
		return lines.Text()
	}
	link := next()
	assert.Contains(t, next(), " anna upload ok")
	assert.Contains(t, next(), " anna generate_url ok")

	get := func(url string) (status int, body string) {
		require.Eventually(t, func() bool {
			res, err := http.Get(url)
			if err != nil { // it does not listen yet
				return false
			}
			defer res.Body.Close()
			content, err := io.ReadAll(res.Body)
			status, body = res.StatusCode, string(content)
			return err == nil
		}, 30*time.Second, 20*time.Millisecond)
		return status, body
	}
	status, body := get(link)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "%PDF-1.7 an invoice", body)
	last := "A"
	if strings.HasSuffix(link, "A") {
		last = "B"
	}
	status, _ = get(link[:len(link)-1] + last)
	assert.Equal(t, http.StatusForbidden, status)
	for _, name := range []string{"uploads", "blobtrail.db"} {
		_, err := os.Stat(filepath.Join(dir, name))
		assert.NoError(t, err)
	}
}
