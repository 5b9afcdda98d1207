package blobhttp_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// TestCurl checks the responses with an independent client.
func TestCurl(t *testing.T) {
	path, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	h := newHost(t, setup{store: "local://" + t.TempDir()})
	content := strings.Repeat("0123456789", 20_000)
	h.put("a", content, &blobstore.UploadOptions{Filename: "Rechnung 42.txt"})
	link := h.link("a", nil)
	dir := t.TempDir()
	curl := func(args ...string) (string, error) {
		cmd := exec.Command(path, append([]string{"-sS", "--fail", "--max-time", "300"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "NO_PROXY=*")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Log(stderr.String())
		}
		return string(out), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := curl(args...)
		require.NoError(t, err)
		return out
	}

	assert.Equal(t, content, must(link))
	assert.Equal(t, "234", must("-r", "2-4", link))
	assert.Equal(t, "89", must("-r", "-2", link))
	assert.Contains(t, must("-r", "0-1,5-6", link), "Content-Range: bytes 5-6/200000")

	head := must("-I", link)
	assert.Contains(t, head, "HTTP/1.1 200 OK")
	assert.Contains(t, head, "Content-Length: 200000")

	// Resume an interrupted download.
	part := filepath.Join(dir, "part")
	require.NoError(t, os.WriteFile(part, []byte(content[:123_456]), 0o600))
	must("-C", "-", "-o", part, link)
	got, err := os.ReadFile(part)
	require.NoError(t, err)
	assert.True(t, content == string(got), "resumed")
	uses := h.trail(audit.ActionRedeem)
	assert.Equal(t, "123456-76544", uses[len(uses)-1].Details.Range)

	// Do not send an unchanged file again.
	must("--etag-save", "tag", "-o", "copy", link)
	code := must("--etag-compare", "tag", "-o", "copy2", "-w", "%{http_code} %{size_download}", link)
	assert.Equal(t, "304 0", code)
	code = must("-z", "copy", "-o", "copy3", "-w", "%{http_code}", "-R", link) // based on the time of the copy, which is newer
	assert.Equal(t, "304", code)

	// Save the file under its original name.
	must("-OJ", link)
	assert.FileExists(t, filepath.Join(dir, "Rechnung 42.txt"))

	// Uploads wait for "100 Continue", so refused content is not sent.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "up"), []byte(content), 0o600))
	up := h.link("up", &blobstore.LinkOptions{Method: "PUT"})
	must("-T", "up", up)
	assert.Equal(t, content, must(h.link("up", nil)))
	out, err := curl("-T", "up", "-H", "Expect: 100-continue", "--expect100-timeout", "60", "-w", "%{http_code} %{size_upload}", link)
	require.Error(t, err)
	assert.Equal(t, "405 0", out)
	out, err = curl("-T", "up", "-w", "%{http_code}", up)
	require.Error(t, err)
	assert.Equal(t, "409", out)

	must("-X", "DELETE", h.link("up", &blobstore.LinkOptions{Method: "DELETE"}))
	_, err = curl(h.link("up", nil))
	require.Error(t, err)
}
