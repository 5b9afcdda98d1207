package rules

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/internal/apicount"
)

// signature is an exported function, method or field with its type as written.
type signature struct {
	where, text string
	fn          *ast.FuncType // nil for fields
	imports     map[string]string
}

// signatures returns the signatures of all packages that programs import.
func signatures(t *testing.T) []signature {
	t.Helper()
	packages, err := apicount.Count("../..")
	require.NoError(t, err)
	var out []signature
	for _, p := range packages {
		names := make(map[string]bool)
		for _, name := range p.Names {
			names[name] = true
		}
		files, err := filepath.Glob(filepath.Join("../..", p.Path, "*.go"))
		require.NoError(t, err)
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			imports := importsOf(file)
			add := func(name string, typ ast.Expr) {
				if names[name] {
					fn, _ := typ.(*ast.FuncType)
					out = append(out, signature{p.Path + ": " + name, written(t, typ), fn, imports})
				}
			}
			for _, decl := range file.Decls {
				switch decl := decl.(type) {
				case *ast.FuncDecl:
					name := decl.Name.Name
					if decl.Recv != nil {
						name = strings.TrimLeft(written(t, decl.Recv.List[0].Type), "*") + "." + name
					}
					add(name, decl.Type)
				case *ast.GenDecl:
					for _, spec := range decl.Specs {
						if spec, ok := spec.(*ast.TypeSpec); ok {
							ast.Inspect(spec.Type, func(n ast.Node) bool {
								if field, ok := n.(*ast.Field); ok {
									for _, name := range field.Names {
										add(spec.Name.Name+"."+name.Name, field.Type)
									}
								}
								return true
							})
						}
					}
				}
			}
		}
	}
	require.Greater(t, len(out), 400)
	return out
}

func importsOf(file *ast.File) map[string]string {
	imports := make(map[string]string)
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = path
	}
	return imports
}

func written(t *testing.T, n ast.Node) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, printer.Fprint(&b, token.NewFileSet(), n))
	return b.String()
}

// Signatures use only types that programs can name, including those of
// database/sql.
func TestSignaturesNameNoForeignTypes(t *testing.T) {
	for _, s := range signatures(t) {
		for name, path := range s.imports {
			if strings.HasSuffix(path, "/sqlx") || strings.Contains(path, "/internal/") {
				assert.NotContains(t, s.text, name+".", "%s: %s", s.where, path)
			}
		}
	}
}

// A Close that may wait takes a context. Readers, buckets and a folder of tus
// implement io.Closer, because they do not wait for operations.
func TestCloseTakesAContext(t *testing.T) {
	closers := map[string]bool{
		"blobstore: Reader.Close": true, "blobstore: RangeReader.Close": true, "blobstore/driver: Bucket.Close": true,
		"blobstore/blobhttp/tus: Handler.Close": true,
	}
	for _, s := range signatures(t) {
		if strings.HasSuffix(s.where, ".Close") && s.fn != nil && !closers[s.where] {
			assert.Contains(t, s.text, "context.Context", s.where)
		}
	}
}

// Contexts contain only the actor and the attributes of a request.
func TestContextsCarryTheActorOnly(t *testing.T) {
	with := map[string]bool{"audit: WithActor": true, "audit: WithAttrs": true}
	for _, s := range signatures(t) {
		if s.fn == nil || s.fn.Results == nil {
			continue
		}
		for _, result := range s.fn.Results.List {
			if written(t, result.Type) == "context.Context" {
				assert.True(t, with[s.where], s.where)
			}
		}
	}
}

// Every sequence with an error ends after its first error. A new sequence needs
// a test of this, and a line here.
func TestSequencesAreTested(t *testing.T) {
	tested := map[string]string{
		"blobstore: Store.List": "blobstore.TestSequencesEndAfterTheirFirstError", "blobstore: Store.Scrub": "the same", "blobstore: Store.Skipped": "the same",
		"audit: Reader.Entries": "audittest, queries/ends after its first error", "audit: Memory.Entries": "the same", "audit/sqlaudit: Journal.Entries": "the same",
		"audit: Journal.Dangling": "audittest, dangling/ends after its first error", "audit: Memory.Dangling": "the same", "audit/sqlaudit: Journal.Dangling": "the same",
		"audit/audittest: Faults.Dangling": "the same",
		"blobstore/driver: Bucket.List":    "storetest, a driver's listing MUST end after its first error",
	}
	sequence := regexp.MustCompile(`\) iter\.Seq2\[.*, error\]$`)
	for _, s := range signatures(t) {
		if s.fn == nil || !sequence.MatchString(s.text) {
			continue
		}
		assert.NotEmpty(t, tested[s.where], "%s returns a sequence", s.where)
	}
}
