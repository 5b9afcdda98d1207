package rules

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// most is the maximum number of lines that two places may share.
const most = 9

// line is a significant line of code: not a comment, an import, a blank line or
// a lone bracket.
type line struct {
	file   string
	number int
	text   string
}

// Ten equal lines must not occur twice in the code. Tests are exempt.
func TestNothingIsRepeated(t *testing.T) {
	var files [][]line
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files = append(files, linesOf(t, path))
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(files), 100)
	found := repeated(files)
	require.Empty(t, found, "%s", strings.Join(found, "\n"))
}

// repeated returns the places that share more than most lines, with the number
// of lines.
func repeated(files [][]line) (found []string) {
	type place struct{ file, at int }
	first := make(map[string]place)
	for f, lines := range files {
		for i := 0; i+most < len(lines); i++ {
			var window strings.Builder
			for _, l := range lines[i : i+most+1] {
				window.WriteString(l.text + "\n")
			}
			p, known := first[window.String()]
			if !known {
				first[window.String()] = place{f, i}
				continue
			}
			n := most + 1
			for p.at+n < len(files[p.file]) && i+n < len(lines) && files[p.file][p.at+n].text == lines[i+n].text {
				n++
			}
			a, b := files[p.file][p.at], lines[i]
			found = append(found, fmt.Sprintf("%s:%d and %s:%d share %d lines", a.file, a.number, b.file, b.number, n))
			i += n - 1
		}
	}
	return found
}

func linesOf(t *testing.T, path string) (out []line) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.ParseComments)
	require.NoError(t, err)
	var skip [][2]int
	for _, c := range file.Comments {
		if from := set.Position(c.Pos()); from.Column == 1 || strings.TrimSpace(strings.SplitN(string(text[from.Offset-from.Column+1:]), "\n", 2)[0][:from.Column-1]) == "" {
			skip = append(skip, [2]int{from.Line, set.Position(c.End()).Line})
		}
	}
	last := 1
	for _, d := range file.Imports {
		last = max(last, set.Position(d.End()).Line)
	}
	skip = append(skip, [2]int{1, last})
	for i, s := range strings.Split(string(text), "\n") {
		s = strings.TrimSpace(s)
		if strings.Trim(s, "(){}[], ") == "" || slices.ContainsFunc(skip, func(r [2]int) bool { return r[0] <= i+1 && i+1 <= r[1] }) {
			continue
		}
		out = append(out, line{path, i + 1, s})
	}
	return out
}

// The check finds repeated code.
func TestRepeatedFindsPlaces(t *testing.T) {
	var a, b []line
	for i := range 12 {
		a = append(a, line{"a.go", i, fmt.Sprint("x := ", i)})
		b = append(b, line{"b.go", i + 5, fmt.Sprint("x := ", i)})
	}
	require.Equal(t, []string{"a.go:0 and b.go:5 share 12 lines"}, repeated([][]line{a, b}))
	require.Empty(t, repeated([][]line{a, b[:most]}))
}
