package secrettest

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
)

const canary = "canary-7f3a9c21"

// These are earlier protections of secrets. Each of them leaks.
type (
	plain  string
	masked string
	hidden struct{ text *string }
	fields struct{ V string }
)

func (masked) String() string               { return "[redacted]" }
func (masked) GoString() string             { return "[redacted]" }
func (masked) Format(f fmt.State, _ rune)   { fmt.Fprint(f, "[redacted]") }
func (masked) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }
func (masked) LogValue() slog.Value         { return slog.StringValue("[redacted]") }
func (hidden) String() string               { return "[redacted]" }
func (hidden) Format(f fmt.State, _ rune)   { fmt.Fprint(f, "[redacted]") }

// recorder records the failures of a helper.
type recorder struct {
	testing.TB
	failed int
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed++ }

func TestFindsLeaks(t *testing.T) {
	text := canary
	for name, run := range map[string]func(testing.TB){
		"a string":                            func(tb testing.TB) { Holds(tb, canary, canary) },
		"a type of string":                    func(tb testing.TB) { Holds(tb, plain(canary), canary) },
		"a string with methods":               func(tb testing.TB) { Holds(tb, masked(canary), canary) },
		"bytes":                               func(tb testing.TB) { Holds(tb, []byte(canary), canary) },
		"a struct":                            func(tb testing.TB) { Holds(tb, fields{canary}, canary) },
		"a pointer to a struct":               func(tb testing.TB) { Holds(tb, &fields{canary}, canary) },
		"a pointer, by reflection":            func(tb testing.TB) { HoldsDeep(tb, hidden{&text}, canary) },
		"an unexported pointer in JSON":       func(tb testing.TB) { Holds(tb, struct{ V *string }{&text}, canary) },
		"the second of two secrets":           func(tb testing.TB) { Holds(tb, fields{canary}, "another secret", canary) },
		"a secret that is too short to check": func(tb testing.TB) { Holds(tb, 1, "short") },
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			run(r)
			assert.Positive(t, r.failed)
		})
	}
}

func TestAcceptsWhatHolds(t *testing.T) {
	Holds(t, hidden{new(canary)}, canary)
	HoldsDeep(t, struct{ f func() string }{func() string { return canary }}, canary)
}
