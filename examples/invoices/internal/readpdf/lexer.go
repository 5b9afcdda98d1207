package readpdf

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// This file implements the lexer for content streams and character maps.
// Unknown input is an error, because a skipped operator could show text.

var errSyntax = errors.New("malformed content stream")

// Tokens are float64, rawString, nameToken, []any (arrays), dictToken and
// operator.
type (
	rawString string
	nameToken string
	operator  string
	dictToken map[nameToken]any
)

const maxNesting = 32

type lexer struct {
	data []byte
	pos  int
}

func isSpace(c byte) bool { return c == 0 || c == 9 || c == 10 || c == 12 || c == 13 || c == 32 }

func isDelimiter(c byte) bool { return strings.IndexByte("()<>[]{}/%", c) >= 0 }

func (l *lexer) skipSpace() {
	for l.pos < len(l.data) {
		switch c := l.data[l.pos]; {
		case isSpace(c):
			l.pos++
		case c == '%':
			for l.pos < len(l.data) && l.data[l.pos] != '\n' && l.data[l.pos] != '\r' {
				l.pos++
			}
		default:
			return
		}
	}
}

// next returns the next token, or nil at the end.
func (l *lexer) next(depth int) (any, error) {
	l.skipSpace()
	if l.pos >= len(l.data) {
		return nil, nil //nolint:nilnil // nil marks the end
	}
	if depth > maxNesting {
		return nil, errSyntax
	}
	switch c := l.data[l.pos]; c {
	case '(':
		return l.literal()
	case '/':
		l.pos++
		return nameToken(l.word()), nil
	case '[':
		l.pos++
		return l.array(depth)
	case '<':
		if l.pos+1 < len(l.data) && l.data[l.pos+1] == '<' {
			l.pos += 2
			return l.dict(depth)
		}
		return l.hex()
	case ')', '>', ']', '{', '}':
		return nil, errSyntax
	}
	w := l.word()
	if c := w[0]; c == '+' || c == '-' || c == '.' || c >= '0' && c <= '9' {
		f, err := strconv.ParseFloat(w, 64)
		if err != nil {
			return nil, errSyntax
		}
		return f, nil
	}
	return operator(w), nil
}

func (l *lexer) word() string {
	start := l.pos
	for l.pos < len(l.data) && !isSpace(l.data[l.pos]) && !isDelimiter(l.data[l.pos]) {
		l.pos++
	}
	return string(l.data[start:l.pos])
}

func (l *lexer) array(depth int) (any, error) {
	out := []any{}
	for {
		l.skipSpace()
		if l.pos < len(l.data) && l.data[l.pos] == ']' {
			l.pos++
			return out, nil
		}
		v, err := l.next(depth + 1)
		if err != nil {
			return nil, err
		}
		if v == nil {
			return nil, errSyntax
		}
		out = append(out, v)
	}
}

func (l *lexer) dict(depth int) (any, error) {
	out := dictToken{}
	for {
		l.skipSpace()
		if bytes.HasPrefix(l.data[l.pos:], []byte(">>")) {
			l.pos += 2
			return out, nil
		}
		key, err := l.next(depth + 1)
		if err != nil {
			return nil, err
		}
		name, ok := key.(nameToken)
		if !ok {
			return nil, errSyntax
		}
		v, err := l.next(depth + 1)
		if err != nil {
			return nil, err
		}
		if v == nil {
			return nil, errSyntax
		}
		out[name] = v
	}
}

func (l *lexer) hex() (any, error) {
	end := bytes.IndexByte(l.data[l.pos:], '>')
	if end < 0 {
		return nil, errSyntax
	}
	var digits []byte
	for _, c := range l.data[l.pos+1 : l.pos+end] {
		if !isSpace(c) {
			digits = append(digits, c)
		}
	}
	l.pos += end + 1
	if len(digits)%2 != 0 {
		digits = append(digits, '0')
	}
	out := make([]byte, len(digits)/2)
	for i := range out {
		n, err := strconv.ParseUint(string(digits[2*i:2*i+2]), 16, 8)
		if err != nil {
			return nil, errSyntax
		}
		out[i] = byte(n)
	}
	return rawString(out), nil
}

var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}

func (l *lexer) literal() (any, error) {
	var out []byte
	depth := 0
	for l.pos < len(l.data) {
		c := l.data[l.pos]
		l.pos++
		switch c {
		case '(':
			if depth++; depth == 1 {
				continue
			}
		case ')':
			if depth--; depth == 0 {
				return rawString(out), nil
			}
		case '\r': // a line end in a string is a line feed
			if l.pos < len(l.data) && l.data[l.pos] == '\n' {
				l.pos++
			}
			c = '\n'
		case '\\':
			var ok bool
			if c, ok = l.escaped(); !ok {
				continue
			}
		}
		out = append(out, c)
	}
	return nil, errSyntax
}

// escaped reads the rest of an escape sequence. It returns false if the
// sequence has no value.
func (l *lexer) escaped() (byte, bool) {
	if l.pos >= len(l.data) {
		return 0, false
	}
	c := l.data[l.pos]
	l.pos++
	switch {
	case escapes[c] != 0:
		return escapes[c], true
	case c == '\n':
		return 0, false
	case c == '\r':
		if l.pos < len(l.data) && l.data[l.pos] == '\n' {
			l.pos++
		}
		return 0, false
	case c < '0' || c > '7':
		return c, true
	}
	n := int(c - '0')
	for i := 0; i < 2 && l.pos < len(l.data) && l.data[l.pos] >= '0' && l.data[l.pos] <= '7'; i++ {
		n = n<<3 | int(l.data[l.pos]-'0')
		l.pos++
	}
	return byte(n), true
}
