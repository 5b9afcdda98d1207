package blobstore

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Only hold.go begins, renews and settles intents, so that all changes of
// objects use one sequence.
func TestOneSequenceChangesObjects(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	found := map[string][]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				switch sel.Sel.Name {
				case "Begin", "Renew", "Settle":
					found[sel.Sel.Name] = append(found[sel.Sel.Name], name)
				}
			}
			return true
		})
	}
	assert.Equal(t, map[string][]string{
		"Begin":  {"hold.go"},                       // begin
		"Settle": {"hold.go"},                       // held.end
		"Renew":  {"hold.go", "hold.go", "hold.go"}, // held.end, renew and keep
	}, found)
}
