package docs

// The snippets of the page on the trail are one program: it publishes, and what
// it published is verified with the options and the command of the page.

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// trailProgram takes the snippets by the words that they have. %NAME% is one.
const trailProgram = `package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

func main() {
	if err := program(); err != nil {
		log.Fatal(err)
	}
}

func program() error {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "anna", TenantID: "acme"})
	opened, err := driver.Open(ctx, os.Args[2], driver.Credentials{})
	if err != nil {
		return err
	}
	defer opened.Close()
	checkpoints := sqlaudit.Checkpoints{Bucket: opened.Blob()}
	%KEY%
	deploymentKey, verifierKey := signing, verifying
	open := func() (*sqlaudit.Journal, error) {
		%PUBLISH%
		return journal, nil
	}
	first, err := open()
	if err != nil {
		return err
	}
	for range 5 {
		if err := first.Log(ctx, audit.Event{Action: audit.ActionDownload, Key: "a", Actor: audit.Actor{UserID: "anna", TenantID: "acme"}, Resource: audit.Resource{Type: "invoice", ID: "42"}}); err != nil {
			return err
		}
	}
	if err := first.Close(ctx); err != nil {
		return err
	}
	journal, err := open()
	if err != nil {
		return err
	}
	defer journal.Close(ctx)
	export, err := os.CreateTemp("", "export")
	if err != nil {
		return err
	}
	defer os.Remove(export.Name())
	entryID := ""
	%QUERY%
	entryID = q.After
	%EXPORT%
	%VERIFY%
	if report.Verdict != proof.VerdictSound {
		return fmt.Errorf("verdict %q: %v", report.Verdict, report.Findings)
	}
	archive, err := os.CreateTemp("", "archive")
	if err != nil {
		return err
	}
	defer os.Remove(archive.Name())
	%PURGE%
	%ARCHIVE%
	%ERASE%
	%PROVE%
	_ = entry
	fmt.Printf("\nVERIFIER %s\n", verifierKey)
	return nil
}
`

func TestTrailPageRuns(t *testing.T) {
	page := read(t, "trail.md")
	snippets := block.FindAllStringSubmatch(page, -1)
	dir := t.TempDir()
	database, bucket := "sqlite:"+filepath.Join(dir, "trail.db"), "local://"+filepath.ToSlash(dir)+"/checkpoints"
	program, used := trailProgram, 0
	for name, words := range map[string]string{
		"KEY": "GenerateDeploymentKey", "PUBLISH": "PublishOptions{", "QUERY": "journal.Entries(ctx, q)", "EXPORT": "WriteJSONL", "VERIFY": "journal.Verify", "PURGE": "journal.Purge", "ARCHIVE": "VerifyExport", "ERASE": "journal.Erase", "PROVE": "journal.Prove",
	} {
		for _, m := range snippets {
			if strings.Contains(m[1], words) {
				body := regexp.MustCompile(`"postgres://[^"]*"`).ReplaceAllString(m[1], "os.Args[1]")
				if name == "PUBLISH" {
					body = strings.ReplaceAll(body, "return err\n", "return nil, err\n")
				}
				require.Contains(t, program, "%"+name+"%", "%s: two snippets", words)
				program = strings.Replace(program, "%"+name+"%", body, 1)
				used++
			}
		}
	}
	require.Equal(t, len(snippets), used, "every snippet of the page runs")

	build := func(name, pkg string, more ...string) string {
		exe := filepath.Join(dir, name)
		out, err := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-o", exe}, more...), pkg)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return exe
	}
	abs, err := filepath.Abs(".")
	require.NoError(t, err)
	source := filepath.Join(dir, "main.go")
	require.NoError(t, os.WriteFile(source, []byte(program), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(abs, "snippets", "trail", "main.go"): source}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	out, err := exec.CommandContext(t.Context(), build("program", "./snippets/trail", "-overlay", filepath.Join(dir, "overlay.json")), database, bucket+"?create=true").CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, key, ok := strings.Cut(string(out), "\nVERIFIER ")
	require.True(t, ok, "%s", out)
	key = strings.TrimSpace(key)

	// The command of the page, with these instead of its variables.
	command := regexp.MustCompile(`(?m)^go run (\./examples/verify) (.*)$`).FindStringSubmatch(page)
	require.NotNil(t, command)
	var args []string
	for _, arg := range strings.Fields(command[2]) {
		switch {
		case arg == `"$VERIFIER_KEY"`:
			arg = key
		case arg == `"$AUDIT_DATABASE_URL"`:
			arg = database
		case strings.HasPrefix(arg, "'s3://"):
			arg = bucket
		}
		args = append(args, arg)
	}
	verify := build("verify", "../examples/verify")
	codes := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z, ]+) \| ([0-9]) \| .*\|$`).FindAllStringSubmatch(page, -1) {
		codes[m[1]] = int(m[2][0] - '0')
	}
	require.Len(t, codes, 4, "the verdicts of the page")
	run := func(verdict string, args ...string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), verify, args...).CombinedOutput()
		var exit *exec.ExitError
		code := 0
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		assert.Equal(t, codes[verdict], code, "%s", out)
		assert.Contains(t, string(out), strings.ToUpper(verdict)+":")
	}
	run("sound", args...)
	run("not checkable", append([]string{"-prefix", "wrong/"}, args...)...)
	run("sound, but not anchored", "-key", key, database)
}
