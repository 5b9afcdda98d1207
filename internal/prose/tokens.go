package prose

import (
	"fmt"
	"go/scanner"
	"go/token"
)

// Tokens returns the tokens of a Go file without its comments. If literals is
// false, Tokens leaves out the text of string literals.
func Tokens(src []byte, literals bool) ([]string, error) {
	var (
		s      scanner.Scanner
		failed error
		out    []string
	)
	file := token.NewFileSet().AddFile("", -1, len(src))
	s.Init(file, src, func(pos token.Position, msg string) { failed = fmt.Errorf("line %d: %s", pos.Line, msg) }, 0)
	for {
		_, tok, lit := s.Scan()
		switch {
		case tok == token.EOF:
			return out, failed
		case tok == token.SEMICOLON: // line ends imply some of them
			out = append(out, ";")
		case tok == token.STRING && !literals:
			out = append(out, "string")
		default:
			out = append(out, tok.String()+" "+lit)
		}
	}
}
