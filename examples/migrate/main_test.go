package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func migrate(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

func TestMigrate(t *testing.T) {
	dir := t.TempDir()
	src, dst, trail, report := filepath.Join(dir, "src"), filepath.Join(dir, "dst"), filepath.Join(dir, "trail.db"), filepath.Join(dir, "report.jsonl")
	require.NoError(t, os.MkdirAll(filepath.Join(src, "2024"), 0o755))
	for name, content := range map[string]string{"a.txt": "a", "2024/b.txt": "bb", "c..txt": "ccc", "bad \\.txt": "x"} {
		require.NoError(t, os.WriteFile(filepath.Join(src, name), []byte(content), 0o644))
	}
	args := []string{"-trail", "sqlite:" + trail, "-to", "old/", "-rate", "1MiB", "-report", report, "-reread",
		"local://" + filepath.ToSlash(src), "local://" + filepath.ToSlash(dst) + "?create=true"}

	code, out, _ := migrate(t, append([]string{"-dry-run"}, args...)...)
	assert.Equal(t, exitIncomplete, code, out)
	assert.Contains(t, out, "3 to be copied")
	assert.NoFileExists(t, filepath.Join(dst, "old", "a.txt"))

	code, out, errOut := migrate(t, args...)
	assert.Equal(t, exitIncomplete, code)
	assert.Contains(t, out, "4 objects: 3 copied (6 bytes), 0 already there, 1 failed")
	assert.Contains(t, out, "invalid key", "and it says what is wrong with that key")
	assert.Contains(t, errOut, "4 objects", "the bar")
	assert.FileExists(t, filepath.Join(dst, "old", "2024", "b.txt"))
	lines, err := os.ReadFile(report)
	require.NoError(t, err)
	assert.Equal(t, 4, strings.Count(string(lines), "\n"))
	assert.Contains(t, string(lines), `{"source":"2024/b.txt","key":"old/2024/b.txt","size":2,"status":"copied"}`)

	require.NoError(t, os.Remove(filepath.Join(src, "bad \\.txt")))
	code, out, _ = migrate(t, args...)
	assert.Equal(t, exitDone, code)
	assert.Contains(t, out, "0 copied (0 bytes), 3 already there, 0 failed")
}

// A stopped run reports that it can be continued.
func TestStopped(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a"), 0o600))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out, errOut bytes.Buffer
	code := run(ctx, []string{"-trail", "sqlite::memory:", "local://" + dir, "mem://"}, &out, &errOut)
	assert.Equal(t, exitIncomplete, code)
	assert.Contains(t, errOut.String(), "run the same command again")
}

func TestHelpNamesTheURLs(t *testing.T) {
	code, _, errOut := migrate(t, "-help")
	assert.Equal(t, exitDone, code)
	assert.Contains(t, errOut, "SOURCE DESTINATION")
}

func TestBadCommandLines(t *testing.T) {
	for want, args := range map[string][]string{
		"want two URLs":           {"local:///tmp"},
		"invalid size":            {"-rate", "fast", "a", "b"},
		"source":                  {"-trail", "sqlite:" + filepath.Join(t.TempDir(), "t.db"), "nothing://x", "mem://"},
		"flag provided but not d": {"-nonsense"},
	} {
		code, _, errOut := migrate(t, args...)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, errOut, want)
	}
	for text, want := range map[string]int64{"1": 1, "3KiB": 3 << 10, "20MiB": 20 << 20, "1GiB": 1 << 30} {
		n, err := parseSize(text)
		require.NoError(t, err)
		assert.Equal(t, want, n)
	}
	for _, text := range []string{"", "-1", "0", "1.5MiB", "1MB", "MiB", "1 MiB x", "1KiBKiB", "99999999999GiB"} {
		_, err := parseSize(text)
		assert.Error(t, err, text)
	}
}
