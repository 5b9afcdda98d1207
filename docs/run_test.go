package docs

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// This file tests that the snippets of all pages run, as one program.

// world is the part of the program that gives the snippets their variables. Every
// page starts with a new store and a new trail in an empty folder.
const world = `
func main() {
	for _, page := range pages {
		if err := page.run(); err != nil {
			log.Fatalf("%s: %v", page.name, err)
		}
		fmt.Println("ran", page.name)
	}
}

type page struct {
	name     string
	snippets []func() error
}

func init() {
	driver.Register("vault", func(context.Context, *url.URL, driver.Credentials) (driver.Bucket, error) {
		return driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "vault", Bucket: "invoices"}), nil
	}, "SecretKey")
}

var folder string // of the page that runs

func (p page) run() error {
	var err error
	if folder, err = os.MkdirTemp(os.Args[1], ""); err != nil {
		return err
	}
	for name, value := range map[string]string{"LOCAL_STORAGE_PATH": folder + "/files", "AUDIT_DATABASE_URL": "sqlite:" + folder + "/app.db"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	ctx = audit.WithActor(context.Background(), audit.Actor{UserID: "anna", TenantID: "acme"})
	if journal, err = sqlaudit.Open(ctx, "sqlite:"+folder+"/trail.db", nil); err != nil {
		return err
	}
	db = sqlx.NewDb(journal.DB(), "sqlite")
	db.MustExec("CREATE TABLE invoices (file_key TEXT); CREATE TABLE scans (file_key TEXT PRIMARY KEY, size INTEGER)")
	keys = []signurl.Key{signurl.GenerateKey()}
	if signer, err = signurl.New("http://localhost:8080/links/", keys, nil); err != nil {
		return err
	}
	if store, err = blobstore.Open(ctx, "local://"+folder+"/store?create=true", journal, &blobstore.Options{Signer: signer}); err != nil {
		return err
	}
	if oldStore, err = blobstore.Open(ctx, "mem://", journal, nil); err != nil {
		return err
	}
	if newStore, err = blobstore.Open(ctx, "mem://", journal, nil); err != nil {
		return err
	}
	if _, err := oldStore.Upload(ctx, "old.pdf", strings.NewReader("%PDF-1.7"), nil); err != nil {
		return err
	}
	if _, err := store.Upload(ctx, "there.pdf", strings.NewReader("%PDF-1.7"), nil); err != nil {
		return err
	}
	link, err := store.Link(ctx, "there.pdf", nil)
	if err != nil {
		return err
	}
	bucket, mux, size, w = memblob.OpenBucket(nil), http.NewServeMux(), 8, httptest.NewRecorder()
	r = httptest.NewRequest(http.MethodGet, link.URL(), nil).WithContext(ctx)
	for i, snippet := range p.snippets {
		key, file = fmt.Sprintf("files/%d.pdf", i), strings.NewReader("%PDF-1.7")
		if err := snippet(); err != nil {
			return fmt.Errorf("snippet %d: %w", i+1, err)
		}
	}
	done, err := store.Reconcile(ctx)
	if err != nil || done.Failed > 0 || done.Unknown > 0 {
		return fmt.Errorf("operations that were not settled: %v: %w", done, err)
	}
	if report, err := journal.Verify(ctx, nil); err != nil || report.Err() != nil {
		return errors.Join(err, report.Err())
	}
	return errors.Join(store.Close(ctx), journal.Close(ctx))
}
`

// local are the addresses that snippets name, and those that a test can use.
var local = strings.NewReplacer(
	`"s3://my-bucket?region=eu-central-1"`, `"mem://"`, `"postgres://audit-reader@replica/app"`, `"sqlite:"+folder+"/trail.db"`,
	`"local:///var/lib/app/files"`, `"local://"+folder+"/other?create=true"`,
)

// Pages whose snippets are a program of their own: another test runs it.
var elsewhere = []string{"trail.md"}

func TestSnippetsRun(t *testing.T) {
	var vars, funcs, list strings.Builder
	for _, p := range prelude {
		fmt.Fprintf(&vars, "var %s %s\n", p.name, p.typ)
	}
	list.WriteString("var pages = []page{\n")
	count := 0
	for _, page := range pages(t, ".") {
		if slices.Contains(elsewhere, filepath.Base(page)) {
			continue
		}
		var names []string
		for n, m := range block.FindAllStringSubmatch(read(t, page), -1) {
			body := regexp.MustCompile(`(?m)^import _ .*\n+`).ReplaceAllString(m[1], "")
			if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+body, 0); err == nil || strings.HasPrefix(body, "package ") {
				continue // a test or a program, which is compiled
			}
			name := fmt.Sprintf("%s_%d", strings.NewReplacer(".md", "", "-", "_").Replace(filepath.Base(page)), n)
			names = append(names, name)
			fmt.Fprintf(&funcs, "func %s() error {\n%s%sreturn nil\n}\n", name, local.Replace(body), used(t, body))
			count++
		}
		if len(names) > 0 {
			fmt.Fprintf(&list, "{%q, []func() error{%s}},\n", filepath.Base(page), strings.Join(names, ", "))
		}
	}
	list.WriteString("}\n")
	require.Greater(t, count, 12)
	out := runProgram(t, vars.String()+list.String()+funcs.String()+world)
	require.Contains(t, out, "ran links.md")
}

// runProgram runs a program without its imports, in a folder of the module.
func runProgram(t *testing.T, body string) string {
	t.Helper()
	var head strings.Builder
	head.WriteString("package main\nimport (\n_ \"modernc.org/sqlite\"\n_ \"github.com/blobtrail/blobtrail/blobstore/memstore\"\n_ \"github.com/blobtrail/blobtrail/blobstore/filestore\"\n")
	all := map[string]string{"url": "net/url", "httptest": "net/http/httptest"}
	for name, path := range imports {
		all[name] = path
	}
	for name, path := range all {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(body) {
			fmt.Fprintf(&head, "%q\n", path)
		}
	}
	dir := t.TempDir()
	source, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(source, []byte(head.String()+")\n"+body), 0o600))
	abs, err := filepath.Abs(filepath.Join("snippets", "run", "main.go"))
	require.NoError(t, err)
	text, err := json.Marshal(map[string]map[string]string{"Replace": {abs: source}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, text, 0o600))
	binary := filepath.Join(dir, "run")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "-overlay", overlay, "./snippets/run").CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.CommandContext(t.Context(), binary, t.TempDir()).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}
