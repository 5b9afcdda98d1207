package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// The format is simple enough for a program of 50 lines.
func TestLength(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	program := source[strings.Index(string(source), "package main"):]
	assert.LessOrEqual(t, strings.Count(string(program), "\n"), 50)
}

func TestCheck(t *testing.T) {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "anna"})
	dir := t.TempDir()
	signing, key, err := sqlaudit.GenerateDeploymentKey("example.com/trail")
	require.NoError(t, err)
	journal, err := sqlaudit.Open(ctx, "sqlite:"+filepath.Join(dir, "trail.db"), &sqlaudit.Options{DeploymentKey: signing})
	require.NoError(t, err)
	defer journal.Close(ctx)
	for range 20 {
		require.NoError(t, journal.Log(ctx, audit.Event{Action: audit.ActionDownload, Key: "files/report.pdf", Actor: audit.Actor{UserID: "anna"}}))
	}
	shown := filepath.Join(dir, "proof.json")
	for e, err := range journal.Entries(ctx, audit.Query{Limit: 1}) {
		require.NoError(t, err)
		p, err := journal.Prove(ctx, e.ID)
		require.NoError(t, err)
		text, err := json.Marshal(p)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(shown, text, 0o600))
	}
	exported := filepath.Join(dir, "export.jsonl")
	file, err := os.Create(exported)
	require.NoError(t, err)
	for at := time.Now(); time.Since(at) < 2*time.Millisecond; runtime.Gosched() { // past the entries
	}
	_, err = journal.Purge(ctx, sqlaudit.PurgeOptions{Before: time.Now(), Export: file})
	require.NoError(t, err)
	require.NoError(t, file.Close())

	program := filepath.Join(dir, "checkproof")
	built, err := exec.CommandContext(ctx, "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(built))
	run := func(args ...string) (int, string) {
		out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode(), string(out)
		}
		require.NoError(t, err)
		return 0, string(out)
	}
	changed := func(name, from, to string) string {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Contains(t, string(text), from)
		other := name + ".changed"
		require.NoError(t, os.WriteFile(other, []byte(strings.Replace(string(text), from, to, 1)), 0o600))
		return other
	}
	for _, c := range []struct {
		name, file string
		code       int
		says       string
	}{
		{"a proof", shown, 0, "proven: "},
		{"a changed proof", changed(shown, "report.pdf", "other.pdf"), 1, "the proof is invalid"},
		{"an export", exported, 0, "sound 20 entries"},
		{"a changed export", changed(exported, "report.pdf", "other.pdf"), 1, "line 3"},
		{"no file", "missing", 2, "missing"},
	} {
		code, out := run(key, c.file)
		assert.Equal(t, c.code, code, "%s: %s", c.name, out)
		assert.Contains(t, out, c.says, c.name)
	}
	code, _ := run()
	assert.Equal(t, 2, code)
}
