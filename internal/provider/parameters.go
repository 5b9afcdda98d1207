package provider

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Parameters sets variables from the parameters of a bucket URL. It returns the
// parameters without a variable. A variable is a *string, *bool,
// *time.Duration, *fs.FileMode (in octal) or a func(value string) error.
//
// A missing parameter leaves its variable unchanged. So does an empty one,
// unless the variable is a *string. A parameter given twice is an error.
func Parameters(q url.Values, variables map[string]any) (others url.Values, err error) {
	others = make(url.Values)
	for _, name := range slices.Sorted(maps.Keys(q)) {
		values, v := q[name], variables[name]
		switch {
		case len(values) > 1:
			return nil, fmt.Errorf("parameter %.100q is given %d times: want it once", name, len(values))
		case v == nil:
			others[name] = values
			continue
		}
		if err := setVariable(v, values[0]); err != nil {
			return nil, fmt.Errorf("parameter %s=%.100q: %w", name, values[0], err)
		}
	}
	return others, nil
}

// AllParameters is like Parameters, but an unknown parameter is an error.
func AllParameters(q url.Values, variables map[string]any) error {
	others, err := Parameters(q, variables)
	if unknown := slices.Sorted(maps.Keys(others)); len(unknown) > 0 { // do not quote values, they may be secrets
		return fmt.Errorf("unknown parameter %.100q: there are %q", unknown[0], slices.Sorted(maps.Keys(variables)))
	}
	return err
}

func setVariable(v any, value string) (err error) {
	if to, ok := v.(*string); ok {
		*to = value
		return nil
	}
	if value == "" {
		return nil
	}
	switch to := v.(type) {
	case *bool:
		if *to, err = strconv.ParseBool(value); err != nil {
			return errors.New("want true or false")
		}
	case *time.Duration:
		if *to, err = time.ParseDuration(value); err != nil || *to <= 0 {
			return errors.New("want a duration such as 30s")
		}
	case *fs.FileMode:
		mode, err := strconv.ParseUint(value, 8, 12)
		if err != nil {
			return errors.New("want octal permissions such as 0700")
		}
		*to = fs.FileMode(mode)
	case func(string) error:
		return to(value)
	default:
		panic(fmt.Sprintf("provider: no parameter is a %T", v))
	}
	return nil
}
