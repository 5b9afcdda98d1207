// Package secrettest checks that values never reveal a secret, however they are
// printed.
package secrettest

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	texttemplate "text/template"

	"github.com/stretchr/testify/assert"
)

// formats contains all letters as verbs of package fmt, including invalid ones,
// with all flags, and formats that do not match their arguments.
var formats = func() []string {
	out := []string{"%!", "% x", "% #X", "% d", "%20.9s", "%040v", "%-40v", "%.1000x", "", "%[3]*v", "%*d", "%.*d"}
	for _, flag := range []string{"", "+", "#"} {
		for verb := 'A'; verb <= 'z'; verb++ {
			out = append(out, "%"+flag+string(verb))
		}
	}
	return out
}()

// Holds fails the test if v reveals any of the secrets. It prints v with each
// verb of package fmt and with log/slog, encoding/json, encoding/xml,
// encoding/gob and both template packages. It prints v directly and inside
// pointers, exported and unexported fields, interfaces, slices, arrays, maps
// and errors. Each secret should have at least eight bytes that occur nowhere
// else.
func Holds[T any](tb testing.TB, v T, secrets ...string) {
	tb.Helper()
	holds(tb, v, false, secrets)
}

// HoldsDeep is like Holds, but also follows every pointer by reflection without
// calling methods, like debuggers and the diffs of test libraries. It is only
// for values that refer to no memory outside the library.
func HoldsDeep[T any](tb testing.TB, v T, secrets ...string) {
	tb.Helper()
	holds(tb, v, true, secrets)
}

func holds[T any](tb testing.TB, v T, deep bool, secrets []string) {
	tb.Helper()
	var plain, packed []string
	for _, s := range secrets {
		if assert.GreaterOrEqual(tb, len(s), 8, "the secret of a test is too short to be searched for") {
			p, b := formsOf(s)
			plain, packed = append(plain, p...), append(packed, b...)
		}
	}
	for path, value := range pathsTo(v) {
		for printer, out := range print(value, deep) {
			if contains(out, plain) || contains(pack(out), packed) {
				assert.Fail(tb, "a secret is printed", "%s of the %s %T: %.200q", printer, path, value, out)
				break
			}
		}
	}
}

func contains(s string, forms []string) bool {
	return slices.ContainsFunc(forms, func(f string) bool { return strings.Contains(s, f) })
}

// formsOf returns the forms in which printers write a text: plain, and as bytes
// without the characters that pack removes.
func formsOf(s string) (plain, packed []string) {
	b := []byte(s)
	plain = []string{s, strings.Trim(fmt.Sprintf("%q", s), `"`), base64.StdEncoding.EncodeToString(b), base64.RawStdEncoding.EncodeToString(b)}
	for _, format := range []string{"%x", "%d", "%o", "%b"} {
		packed = append(packed, pack(fmt.Sprintf(format, b[:8])))
	}
	return plain, packed
}

// pack removes the characters that printers write between bytes and before
// them.
func pack(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ' || c == ',' || c == '[' || c == ']':
		case c == '0' && i+1 < len(s) && s[i+1]|0x20 == 'x':
			i++
		case 'A' <= c && c <= 'Z':
			out = append(out, c+'a'-'A')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

type (
	exported[T any]   struct{ V T }
	unexported[T any] struct{ v T }
	named[T any]      struct {
		Name string
		v    T
		p    *T
	}
	nested[T any] struct {
		in  unexported[T]
		any any
		m   map[string]T
		s   []T
		a   [1]T
	}
	failure[T any]  struct{ v T }
	stringer[T any] struct {
		fmt.Stringer // package fmt calls its method
		v            T
	}
)

func (failure[T]) Error() string { return "failure" }

func pathsTo[T any](v T) map[string]any {
	p := &v
	return map[string]any{
		"value": v, "pointer": p, "pointer to a pointer": &p,
		"exported field": exported[T]{v}, "pointer to an exported field": &exported[T]{v}, "exported pointer": exported[*T]{p},
		"unexported field": unexported[T]{v}, "pointer to an unexported field": &unexported[T]{v}, "unexported pointer": unexported[*T]{p},
		"field among others": named[T]{"n", v, p}, "pointer to a field among others": &named[T]{"n", v, p},
		"nested struct":     nested[T]{unexported[T]{v}, v, map[string]T{"k": v}, []T{v}, [1]T{v}},
		"pointer to nested": &nested[T]{unexported[T]{v}, p, map[string]T{"k": v}, []T{v}, [1]T{v}},
		"unexported any":    unexported[any]{v}, "unexported any pointer": unexported[any]{p}, "exported any": exported[any]{v},
		"slice": []T{v}, "pointer to a slice": &[]T{v}, "slice of pointers": []*T{p}, "slice of any": []any{v, p}, "array": [1]T{v}, "pointer to an array": &[1]T{v},
		"map": map[string]T{"k": v}, "pointer to a map": &map[string]T{"k": v}, "map of any": map[string]any{"k": v, "p": p},
		"unexported slice": unexported[[]T]{[]T{v}}, "unexported map": unexported[map[string]T]{map[string]T{"k": v}}, "unexported array": unexported[[1]T]{[1]T{v}},
		"error": error(failure[T]{v}), "error by pointer": error(&failure[T]{v}), "struct whose String panics": stringer[T]{nil, v},
		"wrapped by Errorf": fmt.Errorf("x: %v %+v", v, unexported[T]{v}),
	}
}

// print returns the output of each printer for v.
func print(v any, deep bool) map[string]string {
	out := make(map[string]string)
	for _, format := range formats {
		out[format] = fmt.Sprintf(format, v)
	}
	for _, format := range []string{"%v %v", "%w %w", "%s %#v", "%+v %x"} {
		out["Errorf "+format] = fmt.Errorf(format, v, v).Error()
	}
	out["Sprint"], out["Sprintln"] = fmt.Sprint(v), fmt.Sprintln(v, v)
	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		l := slog.New(h)
		l.Info("x", "v", v)
		l.With("v", v).WithGroup("g").Info("x", slog.Group("h", "v", v))
	}
	out["log/slog"] = b.String()
	for name, encode := range map[string]func(any) ([]byte, error){
		"encoding/json": json.Marshal,
		"encoding/xml":  xml.Marshal,
		"encoding/gob": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		},
		"text/template": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := texttemplate.Must(texttemplate.New("").Parse(`{{.}} {{printf "%s %x" . .}} {{js .}} {{urlquery .}}`)).Execute(&b, v)
			return b.Bytes(), err
		},
		"html/template": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := template.Must(template.New("").Parse(`<a href="/?q={{.}}">{{.}}</a><script>x = {{.}}</script>`)).Execute(&b, v)
			return b.Bytes(), err
		},
	} {
		text, err := encode(v)
		out[name] = string(text) + fmt.Sprint(err)
	}
	if deep {
		var b strings.Builder
		dump(&b, reflect.ValueOf(v), make(map[visit]bool))
		out["reflection"] = b.String()
	}
	return out
}

type visit struct {
	at uintptr
	t  reflect.Type
}

// dump writes all text and bytes reachable from v by reflection.
func dump(b *strings.Builder, v reflect.Value, seen map[visit]bool) {
	switch v.Kind() {
	case reflect.String:
		fmt.Fprintln(b, v.String())
	case reflect.Pointer:
		at := visit{v.Pointer(), v.Type()}
		if !v.IsNil() && !seen[at] {
			seen[at] = true
			dump(b, v.Elem(), seen)
		}
	case reflect.Interface:
		dump(b, v.Elem(), seen)
	case reflect.Struct:
		for _, f := range v.Fields() {
			dump(b, f, seen)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			dump(b, it.Key(), seen)
			dump(b, it.Value(), seen)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			for i := range v.Len() {
				b.WriteByte(byte(v.Index(i).Uint()))
			}
			fmt.Fprintln(b)
			return
		}
		for i := range v.Len() {
			dump(b, v.Index(i), seen)
		}
	}
}
