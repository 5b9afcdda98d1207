package config

import (
	"errors"
	"fmt"
)

// Problem is one mistake in the configuration. The errors of [Load],
// [Config.Validate] and blobtrail.Open join all of them: Unwrap() []error returns
// each, and errors.As finds the first. No Problem quotes a secret.
type Problem struct { //nolint:errname // callers say config.Problem, which is what it is
	Variable string // the environment variable, such as S3_BUCKET_NAME
	Wrong    string // what is wrong with it
	Want     string // what would be right
}

func (p *Problem) Error() string { return p.Variable + ": " + p.Wrong + ": want " + p.Want }

// problems collects them, at most one for each variable: what comes after the
// first would be its consequence.
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

// shown quotes a value of a variable that holds a word, if it can't be anything
// else: a credential that was put there by mistake is longer.
func shown(value string) string {
	if len(value) > 12 {
		return fmt.Sprintf("a value of %d characters", len([]rune(value)))
	}
	return fmt.Sprintf("%q", value)
}
