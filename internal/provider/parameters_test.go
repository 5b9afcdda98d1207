package provider

import (
	"errors"
	"io/fs"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParameters(t *testing.T) {
	var (
		name, kept = "before", "kept"
		create     bool
		stall      = time.Minute
		mode       fs.FileMode
		got        string
	)
	variables := map[string]any{"name": &name, "kept": &kept, "create": &create, "stall": &stall, "mode": &mode, "func": func(v string) error {
		if got = v; v == "bad" {
			return errors.New("it is bad")
		}
		return nil
	}}
	q := url.Values{"name": {""}, "create": {"1"}, "stall": {""}, "mode": {"0750"}, "func": {"x"}, "other": {"hidden"}}
	others, err := Parameters(q, variables)
	require.NoError(t, err)
	assert.Equal(t, url.Values{"other": {"hidden"}}, others)
	assert.Equal(t, []any{"", "kept", true, time.Minute, fs.FileMode(0o750), "x"}, []any{name, kept, create, stall, mode, got})

	err = AllParameters(q, variables)
	require.EqualError(t, err, `unknown parameter "other": there are ["create" "func" "kept" "mode" "name" "stall"]`)
	for name, c := range map[string]struct {
		values []string
		want   string
	}{
		"create": {[]string{"perhaps"}, `parameter create="perhaps": want true or false`},
		"stall":  {[]string{"-1s"}, `parameter stall="-1s": want a duration such as 30s`},
		"mode":   {[]string{"rwx"}, `parameter mode="rwx": want octal permissions such as 0700`},
		"func":   {[]string{"bad"}, `parameter func="bad": it is bad`},
		"name":   {[]string{"a", "b"}, `parameter "name" is given 2 times: want it once`},
	} {
		require.EqualError(t, AllParameters(url.Values{name: c.values}, variables), c.want)
	}
}
