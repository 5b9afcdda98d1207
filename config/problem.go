package config

import (
	"errors"
	"fmt"
)

// Problem is a mistake in the configuration. The errors of [Load],
// [Config.Validate] and blobtrail.Open join all problems. Unwrap() []error
// returns each, and errors.As finds the first. A Problem never quotes a secret.
type Problem struct { //nolint:errname // callers write config.Problem
	Variable string // the environment variable, such as S3_BUCKET_NAME
	Wrong    string // the mistake
	Want     string // the valid values
}

func (p *Problem) Error() string { return p.Variable + ": " + p.Wrong + ": want " + p.Want }

// problems collects at most one problem for each variable, because further ones
// are usually consequences of the first.
type problems struct {
	found []error
	seen  map[string]bool
}

func (ps *problems) add(variable, wrong, want string) {
	if ps.seen[variable] {
		return
	}
	if ps.seen == nil {
		ps.seen = make(map[string]bool)
	}
	ps.seen[variable] = true
	ps.found = append(ps.found, &Problem{variable, wrong, want})
}

func (ps *problems) err() error { return errors.Join(ps.found...) }

// shown quotes the value of a variable if it is short. A credential that was
// set by mistake is longer.
func shown(value string) string {
	if len(value) > 12 {
		return fmt.Sprintf("a value of %d characters", len([]rune(value)))
	}
	return fmt.Sprintf("%q", value)
}
