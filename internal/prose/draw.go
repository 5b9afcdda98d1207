package prose

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Text is a comment or an error text and its position.
type Text struct {
	Path string
	Line int
	Text string
}

// Draw returns comments and error texts of the Go files below a folder, drawn at
// random. The same seed draws the same texts. It leaves out tests and testdata.
func Draw(root string, comments, errors int, seed uint64) (c, e []Text, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skipped, d.Name()):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parsing %s: %w", path, err)
		}
		at := func(n ast.Node, text string) Text {
			name, _ := filepath.Rel(root, path)
			return Text{filepath.ToSlash(name), set.Position(n.Pos()).Line, strings.TrimSpace(text)}
		}
		for _, group := range file.Comments {
			if text := group.Text(); strings.TrimSpace(text) != "" {
				c = append(c, at(group, text))
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := errorText(n); ok {
				e = append(e, at(n, text))
			}
			return true
		})
		return nil
	})
	random := rand.New(rand.NewPCG(seed, 0))
	for _, texts := range [][]Text{c, e} {
		random.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	}
	return c[:min(comments, len(c))], e[:min(errors, len(e))], err
}

// errorText returns the text of a call of errors.New or fmt.Errorf.
func errorText(n ast.Node) (string, bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", false
	}
	fn, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || fn.Sel.Name != "Errorf" && fn.Sel.Name != "New" {
		return "", false
	}
	if pkg, ok := fn.X.(*ast.Ident); !ok || pkg.Name != "errors" && pkg.Name != "fmt" {
		return "", false
	}
	lit, ok := call.Args[0].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}
