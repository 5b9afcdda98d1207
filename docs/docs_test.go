// Package docs holds the guide to its word: every snippet compiles, every link
// leads somewhere, every quoted message and metric is in the code.
package docs

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
)

const root = ".."

// imports are what a snippet may use without saying so.
var imports = map[string]string{
	"blobtrail": "github.com/blobtrail/blobtrail", "audit": "github.com/blobtrail/blobtrail/audit", "sqlaudit": "github.com/blobtrail/blobtrail/audit/sqlaudit", "proof": "github.com/blobtrail/blobtrail/audit/proof", "audittest": "github.com/blobtrail/blobtrail/audit/audittest",
	"blobstore": "github.com/blobtrail/blobtrail/blobstore", "blobhttp": "github.com/blobtrail/blobtrail/blobstore/blobhttp", "driver": "github.com/blobtrail/blobtrail/blobstore/driver",
	"storetest": "github.com/blobtrail/blobtrail/blobstore/storetest", "transfer": "github.com/blobtrail/blobtrail/blobstore/transfer", "config": "github.com/blobtrail/blobtrail/config",
	"signurl": "github.com/blobtrail/blobtrail/signurl", "secret": "github.com/blobtrail/blobtrail/secret", "memstore": "github.com/blobtrail/blobtrail/blobstore/memstore", "blob": "gocloud.dev/blob", "memblob": "gocloud.dev/blob/memblob", "sqlx": "github.com/jmoiron/sqlx",
	"context": "context", "errors": "errors", "fmt": "fmt", "fs": "io/fs", "http": "net/http", "io": "io", "json": "encoding/json", "log": "log", "netip": "net/netip", "os": "os",
	"slog": "log/slog", "sql": "database/sql", "strings": "strings", "testing": "testing", "time": "time",
}

// prelude is what a snippet finds: what the pages have introduced before.
var prelude = []struct{ name, typ string }{
	{"ctx", "context.Context"}, {"journal", "*sqlaudit.Journal"}, {"store", "*blobstore.Store"}, {"signer", "*signurl.Signer"}, {"db", "*sqlx.DB"}, {"mux", "*http.ServeMux"},
	{"w", "http.ResponseWriter"}, {"r", "*http.Request"}, {"file", "io.Reader"}, {"key", "string"}, {"bucket", "*blob.Bucket"}, {"keys", "[]signurl.Key"},
	{"deploymentKey", "secret.Text"}, {"verifierKey", "string"}, {"oldStore", "*blobstore.Store"}, {"newStore", "*blobstore.Store"}, {"t", "*testing.T"},
	{"size", "int64"}, {"entryID", "string"}, {"checkpoints", "sqlaudit.Checkpoints"}, {"archive", "*os.File"}, {"export", "*os.File"}, {"out", "io.Writer"}, {"err", "error"},
}

var block = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

func TestSnippetsCompile(t *testing.T) {
	overlay := map[string]map[string]string{"Replace": {}}
	dir := t.TempDir()
	where := make(map[string]string)
	args := []string{"build", "-o", os.DevNull, "-overlay", filepath.Join(dir, "overlay.json")}
	abs, err := filepath.Abs(".")
	require.NoError(t, err)
	for _, page := range pages(t, ".") {
		for n, m := range block.FindAllStringSubmatch(read(t, page), -1) {
			name := fmt.Sprintf("s%d_%s", n, strings.TrimSuffix(filepath.Base(page), ".md"))
			name = strings.ReplaceAll(name, "-", "_")
			file := filepath.Join(dir, name+".go")
			source := wrapped(t, m[1])
			require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
			overlay["Replace"][filepath.Join(abs, "snippets", name, "s.go")] = file
			args = append(args, "./snippets/"+name)
			where[name] = fmt.Sprintf("%s, snippet %d", page, n+1)
		}
	}
	require.Greater(t, len(where), 20)
	text, err := json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), text, 0o600))
	out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
	message := string(out)
	for name, page := range where {
		message = strings.ReplaceAll(message, "snippets/"+name+"/s.go", page)
	}
	require.NoError(t, err, "%s", message)
}

// wrapped makes a file of a snippet: it is one already, or declarations, or
// statements.
func wrapped(t *testing.T, snippet string) string {
	t.Helper()
	if strings.HasPrefix(snippet, "package ") {
		return snippet
	}
	body, own := snippet, ""
	for strings.HasPrefix(body, "import ") { // for their side effect
		end := strings.Index(body, "\n\n")
		if end < 0 {
			end = len(body)
		}
		own, body = own+body[:end]+"\n", body[end:]
		body = strings.TrimLeft(body, "\n")
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+body, 0); err != nil {
		body = "func snippet() error {\n" + body + used(t, body) + "return nil\n}\n"
	}
	var head strings.Builder
	head.WriteString("package p\n" + own)
	var vars strings.Builder
	for _, p := range prelude {
		if regexp.MustCompile(`\b` + p.name + `\b`).MatchString(body) {
			fmt.Fprintf(&vars, "var %s %s\n", p.name, p.typ)
		}
	}
	all := vars.String() + body
	for name, path := range imports {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(all) {
			fmt.Fprintf(&head, "import %q\n", path)
		}
	}
	return head.String() + all
}

// used mentions the variables of a snippet that ends before it uses them.
func used(t *testing.T, body string) string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() {\n"+body+"}\n", 0)
	require.NoError(t, err, body)
	var out strings.Builder
	for _, s := range f.Decls[0].(*ast.FuncDecl).Body.List {
		if a, ok := s.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
			for _, l := range a.Lhs {
				if name := l.(*ast.Ident).Name; name != "_" {
					fmt.Fprintf(&out, "_ = %s\n", name)
				}
			}
		}
	}
	return out.String()
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
)

func TestLinksResolve(t *testing.T) {
	n := 0
	for _, page := range pages(t, root) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(read(t, page), ""), -1) {
			n++
			u, err := url.Parse(m[1])
			if !assert.NoError(t, err, "%s: %s", page, m[1]) {
				continue
			}
			if u.Scheme != "" {
				assert.Equal(t, "https", u.Scheme, "%s: %s", page, m[1])
				assert.Contains(t, u.Host, ".", "%s: %s", page, m[1])
				continue
			}
			target := page
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(u.Path))
			}
			if _, err := os.Stat(target); !assert.NoError(t, err, "%s: %s", page, m[1]) || u.Fragment == "" {
				continue
			}
			assert.Contains(t, anchors(read(t, target)), u.Fragment, "%s: %s", page, m[1])
		}
	}
	require.Greater(t, n, 50)
}

// anchors are those of the headings of a page.
func anchors(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		a := strings.ToLower(regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(m[1], ""))
		all = append(all, strings.ReplaceAll(a, " ", "-"))
	}
	return all
}

// Every message that the page on troubles quotes is one of the library, with
// "…" for what differs.
func TestQuotedMessagesExist(t *testing.T) {
	literals := literalsOf(t)
	quoted := regexp.MustCompile("(?m)^### `(.+)`$").FindAllStringSubmatch(read(t, "troubleshooting.md"), -1)
	require.Greater(t, len(quoted), 15)
	for _, m := range quoted {
		for part := range strings.SplitSeq(m[1], "…") {
			if part = strings.TrimSpace(part); len(part) > 3 {
				assert.True(t, slices.ContainsFunc(literals, func(l string) bool { return strings.Contains(l, part) }), "%q of %q is in no text of the code", part, m[1])
			}
		}
	}
}

// literalsOf returns the texts in the code, that of the triggers too, tests left
// out.
func literalsOf(t *testing.T) (all []string) {
	t.Helper()
	walk(t, root, func(path string) {
		if strings.HasSuffix(path, ".sql") {
			all = append(all, read(t, path))
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil {
					all = append(all, text)
				}
			}
			return true
		})
	})
	return all
}

func TestNamesExist(t *testing.T) {
	metrics := read(t, root+"/examples/invoices/metrics.go")
	variables := read(t, root+"/.env.example") + read(t, root+"/examples/invoices/settings.go")
	literals := literalsOf(t)
	for _, page := range append(pages(t, "."), "alerts.yml") {
		text := read(t, page)
		for _, name := range regexp.MustCompile(`\bblobtrail\.[a-z]+\.[a-z.]+[a-z]\b`).FindAllString(text, -1) {
			assert.Contains(t, literals, name, page)
		}
		for _, name := range regexp.MustCompile(`\binvoices_[a-z_]+[a-z]\b`).FindAllString(text, -1) {
			assert.Contains(t, metrics, strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"), page)
		}
		for _, name := range regexp.MustCompile(`\b(?:APP|STORAGE|LOCAL|S3|AZURE|GCS|LINK|AUDIT|SIGNED|MAX|JWT|TRUSTED|METRICS|LISTEN)_[A-Z_]+\b`).FindAllString(text, -1) {
			assert.Contains(t, variables, name, page)
		}
	}
}

// The URLs of local folders are ones that can be opened, but for the folder.
func TestURLsOpen(t *testing.T) {
	n := 0
	for _, page := range append(pages(t, root), root+"/.env.example") {
		for _, m := range regexp.MustCompile(`\b(local|file)://(/[a-z/]+)?(\?[a-z_=&0-9]+)?`).FindAllStringSubmatch(read(t, page), -1) {
			n++
			b, err := driver.Open(t.Context(), m[1]+"://"+filepath.ToSlash(t.TempDir())+m[3], driver.Credentials{})
			if assert.NoError(t, err, "%s: %s", page, m[0]) {
				require.NoError(t, b.Close())
			}
		}
	}
	require.Greater(t, n, 5)
}

func pages(t *testing.T, dir string) (found []string) {
	t.Helper()
	walk(t, dir, func(path string) {
		if strings.HasSuffix(path, ".md") {
			found = append(found, path)
		}
	})
	return found
}

func walk(t *testing.T, dir string, each func(path string)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() {
			each(path)
		}
		return err
	}))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}
