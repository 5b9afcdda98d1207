package floors

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/blobtrail/blobtrail"

// floorOf contains the floor of each package. A package may import packages on
// lower floors, and on its own floor only those in sameFloor. The test fails
// for a package without a floor.
var floorOf = map[string]int{
	"examples/quickstart":           5,
	"examples/verify":               5,
	"examples/checkproof":           5,
	"":                              4, // Open
	"config":                        3,
	"blobstore/all":                 3,
	"blobstore/filestore":           2,
	"blobstore/memstore":            2,
	"blobstore/blobhttp":            2,
	"blobstore/transfer":            2,
	"blobstore/azurestore":          2,
	"blobstore/s3store":             2,
	"blobstore/gcsstore":            2,
	"blobstore/filestore/localblob": 1, // a Go CDK driver, independent of the rest of the library
	"blobstore":                     1,
	"blobstore/driver":              1,
	"audit/sqlaudit":                1,
	"audit":                         0,
	"audit/proof":                   0,
	"signurl":                       0,
	"secret":                        0,
	"internal/cloud":                1, // shared by the providers of cloud services
	"internal/httprange":            1, // ranges of package blobhttp
	"internal/keyrule":              0,
	"internal/cloudhttp":            0,
	"internal/progress":             0,
	"internal/provider":             0,
	"internal/limit":                0,
}

// sameFloor lists the permitted imports within a floor. The first package
// imports the second.
var sameFloor = [][2]string{
	{"blobstore", "blobstore/driver"},
	{"internal/cloud", "blobstore/driver"},
	{"internal/httprange", "blobstore"},
	{"signurl", "secret"},
	{"audit/proof", "audit"},
	{"internal/provider", "internal/progress"},
	{"internal/provider", "internal/limit"},
}

// forTests lists packages that only tests import. They may import any package
// below floor 4.
var forTests = map[string]bool{
	"audit/audittest":       true,
	"blobstore/storetest":   true,
	"docs":                  true,
	"internal/apicount":     true,
	"internal/apicount/cmd": true,
	"internal/crash":        true,
	"internal/floors":       true,
	"internal/fuzzform":     true,
	"internal/prose":        true,
	"internal/prose/cmd":    true,
	"internal/rules":        true,
	"internal/secrettest":   true,
	"internal/testdb":       true,
	"internal/testlog":      true,
}

// standardOnly lists packages that import only the standard library and each
// other.
var standardOnly = []string{"audit", "signurl", "secret"}

// lean lists the packages that every program links. They must not import a
// cloud SDK, an SQL driver or test code, directly or indirectly.
var lean = []string{
	"audit", "audit/proof", "signurl", "secret", "audit/sqlaudit", "blobstore", "blobstore/driver", "blobstore/blobhttp", "blobstore/transfer", "blobstore/filestore", "config", "",
}

// The Go CDK's error codes always import google.golang.org/grpc/status.
var unwanted = []string{
	"github.com/aws/", "github.com/Azure/", "cloud.google.com/", "google.golang.org/api/storage/", "google.golang.org/api/option",
	"modernc.org/", "github.com/jackc/", "github.com/go-sql-driver/", "github.com/lib/pq", "github.com/mattn/go-sqlite3",
	"testing", "github.com/stretchr/", "go.uber.org/goleak", module + "/audit/audittest", module + "/blobstore/storetest", module + "/internal/secrettest",
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
	Module     *struct{ Path string }
}

func goList(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps,Standard,Module"}, args...)...)
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		require.NoError(t, err)
		pkgs = append(pkgs, p)
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "go.mod"))
	return dir
}

func rel(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func TestImportsPointDown(t *testing.T) {
	allowed := make(map[[2]string]bool)
	for _, pair := range sameFloor {
		allowed[pair] = true
	}
	for _, p := range goList(t, "./...") {
		name := rel(p.ImportPath)
		floor, known := floorOf[name]
		if forTests[name] {
			floor, known = 4, true
		}
		if !assert.True(t, known, "package %q stands on no floor: add it to floorOf", name) {
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module) {
				continue
			}
			to := rel(imp)
			assert.False(t, forTests[to] && !forTests[name], "%q imports %q, which is for tests only", name, to)
			if down, ok := floorOf[to]; ok && down >= floor && !allowed[[2]string{name, to}] {
				assert.Fail(t, "import that does not point down", "%q (floor %d) imports %q (floor %d)", name, floor, to, down)
			}
		}
	}
}

func TestCoreLinksOnlyWhatItUses(t *testing.T) {
	for _, name := range lean {
		for _, p := range goList(t, "./"+name) {
			for _, dep := range p.Deps {
				for _, u := range unwanted {
					assert.False(t, dep == u || strings.HasPrefix(dep, u) && (strings.HasSuffix(u, "/") || strings.HasPrefix(dep, u+"/")),
						"%q links %q", name, dep)
				}
			}
		}
	}
	for _, name := range standardOnly {
		for _, p := range goList(t, "-deps", "./"+name) {
			allowed := p.Standard || slices.Contains(standardOnly, rel(p.ImportPath))
			assert.True(t, allowed, "%q links %q: only the standard library is allowed", name, p.ImportPath)
		}
	}
}

// TestBinarySize builds complete programs and compares their sizes with the
// documented limits.
func TestBinarySize(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short: building two programs")
	}
	for _, tt := range []struct {
		program string
		limit   float64 // MB of 10^6 bytes
	}{
		{"local", 18.5},
		{"vocabulary", 6},
	} {
		t.Run(tt.program, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), tt.program)
			cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./internal/floors/testdata/"+tt.program)
			cmd.Dir = root(t)
			text, err := cmd.CombinedOutput()
			require.NoError(t, err, string(text))
			info, err := os.Stat(out)
			require.NoError(t, err)
			size := float64(info.Size()) / 1e6
			t.Logf("%s: %.1f MB stripped, limit %.1f MB", tt.program, size, tt.limit)
			assert.LessOrEqual(t, size, tt.limit)
		})
	}
}

// Package proof imports only audit and, from x/mod, the formats of checkpoints.
func TestProofLinksItsFormatsOnly(t *testing.T) {
	allowed := []string{module + "/audit", module + "/audit/proof", "golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"}
	for _, p := range goList(t, "-deps", "./audit/proof") {
		assert.True(t, p.Standard || slices.Contains(allowed, p.ImportPath), "audit/proof links %q", p.ImportPath)
		if rel(p.ImportPath) == "audit/proof" {
			for _, imported := range p.Imports {
				assert.False(t, strings.Contains(imported, "/internal/"), "audit/proof imports %q", imported)
			}
		}
	}
	for _, p := range goList(t, "./examples/checkproof") {
		for _, imported := range p.Imports {
			assert.True(t, !strings.Contains(imported, ".") || imported == module+"/audit/proof", "examples/checkproof imports %q", imported)
		}
	}
}
