package signurl_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSignaturesAreComparedInConstantTime examines the source, because
// measurements depend on the machine. Code may compare MACs only with
// hmac.Equal, which always takes the same time.
func TestSignaturesAreComparedInConstantTime(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	equal := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if l, ok := n.Y.(*ast.BasicLit); ok && l.Value == `""` {
					return true // whether there is one at all
				}
				require.False(t, isMAC(n.X) || isMAC(n.Y), "%s compares a MAC by %s", name, n.Op)
			case *ast.CallExpr:
				s, ok := n.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				pkg, _ := s.X.(*ast.Ident)
				if pkg == nil {
					return true
				}
				if pkg.Name == "hmac" && s.Sel.Name == "Equal" {
					equal++
					require.True(t, isMAC(n.Args[0]) && isMAC(n.Args[1]))
				}
				if pkg.Name == "bytes" && len(n.Args) == 2 {
					require.False(t, isMAC(n.Args[0]) || isMAC(n.Args[1]), "%s: bytes.%s ends at the first byte that differs", name, s.Sel.Name)
				}
			}
			return true
		})
	}
	require.Equal(t, 1, equal)
}

// isMAC reports whether e is the computed or the received MAC, or a slice of
// it.
func isMAC(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.SliceExpr:
		return isMAC(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name == "sum"
	case *ast.Ident:
		return e.Name == "sig"
	}
	return false
}
