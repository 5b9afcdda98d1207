package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/caarlos0/env/v11"

	"github.com/blobtrail/blobtrail/secret"
)

// Load reads and validates the environment. If it is invalid, Load returns the
// zero Config and an error that joins every [*Problem]. Load opens nothing and
// changes nothing.
func Load() (Config, error) {
	environ := make(map[string]string)
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		environ[name] = value
	}
	return LoadFrom(environ)
}

// LoadFrom is like [Load], with environ in place of the process's environment.
func LoadFrom(environ map[string]string) (Config, error) {
	var (
		c  Config
		ps problems
	)
	vars := variables()
	own := make(map[string]string, len(vars))
	for _, v := range vars {
		own[v.name] = environ[v.name]
		if wrong := wrapping(own[v.name]); wrong != "" {
			ps.add(v.name, wrong, "only the value, or leave it empty for the default")
			// Validate the trimmed value too, so that problems of its backend
			// are also reported.
			own[v.name] = strings.Trim(own[v.name], "\"' \t\r\n")
		}
	}
	err := env.ParseWithOptions(&c, env.Options{
		Environment: own,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[time.Duration](): func(s string) (any, error) { return parseSeconds(s) },
		},
	})
	if err != nil {
		var all env.AggregateError
		if !errors.As(err, &all) {
			return Config{}, fmt.Errorf("config: %w", err)
		}
		for _, e := range all.Errors {
			var pe env.ParseError
			if !errors.As(e, &pe) {
				return Config{}, fmt.Errorf("config: %w", e)
			}
			// Drop the error, because it quotes the value.
			for _, v := range vars {
				if v.field == pe.Name && v.typ == pe.Type {
					ps.add(v.name, shown(own[v.name])+" is invalid", wantOf(v.typ))
				}
			}
		}
	}
	c.validate(&ps)
	slices.SortStableFunc(ps.found, func(a, b error) int { return strings.Compare(variableOf(a), variableOf(b)) })
	if err := ps.err(); err != nil {
		// Do not return the valid part: a variable may contain a misplaced
		// secret, which would be printed with the rest.
		return Config{}, err
	}
	c.Unknown = unknown(environ, vars)
	return c, nil
}

func variableOf(err error) string {
	var p *Problem
	errors.As(err, &p)
	return p.Variable
}

// Variables returns the sorted names of all variables that [Load] reads.
func Variables() []string {
	var names []string
	for _, v := range variables() {
		names = append(names, v.name)
	}
	slices.Sort(names)
	return names
}

// variable is a field of Config with the name of its environment variable.
// Fields may share a name, but only if their type accepts every value.
type variable struct {
	name, field string
	typ         reflect.Type
}

func variables() []variable {
	var vars []variable
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for f := range t.Fields() {
			switch name := f.Tag.Get("env"); {
			case name == "-":
			case name != "":
				vars = append(vars, variable{name, f.Name, f.Type})
			default:
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	return vars
}

// wrapping describes unwanted characters around a value, which come from
// copying or from shell syntax in a file that no shell reads.
func wrapping(value string) string {
	switch {
	case value == "":
		return ""
	case strings.TrimSpace(value) == "":
		return "the value is blank"
	case strings.TrimFunc(value, unicode.IsSpace) != value:
		return "white space surrounds the value"
	case len(value) > 1 && value[0] == value[len(value)-1] && (value[0] == '"' || value[0] == '\''):
		return "quotes surround the value and would be part of it"
	case strings.ContainsFunc(value, unicode.IsControl):
		return "the value contains a line end or another control character"
	}
	return ""
}

func parseSeconds(s string) (time.Duration, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, err
	}
	return time.Duration(n) * time.Second, nil
}

// wantOf describes the valid values of a type.
func wantOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[bool]():
		return "true or false"
	case reflect.TypeFor[time.Duration]():
		return "a whole number of seconds, 1 to 604800"
	case reflect.TypeFor[secret.Text]():
		return "the secret itself, not its redacted form"
	}
	return "a whole number of bytes, such as 10485760"
}
