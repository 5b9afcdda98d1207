package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/secret"
)

const canary = "canary-7f3a9c21 ünicode\n"

func TestTextIsNeverPrinted(t *testing.T) {
	secrettest.HoldsDeep(t, secret.New(canary), canary)
	secrettest.HoldsDeep(t, secret.New("postgres://app:hunter2-canary@db/files"), "hunter2-canary")
}

// values returns the panic values of the children of TestPanics.
func values() map[string]any {
	s := secret.New(canary)
	type hidden struct{ s secret.Text }
	return map[string]any{
		"text": s, "pointer": &s, "struct": hidden{s}, "error": fmt.Errorf("%v %+v %#v", s, hidden{s}, hidden{s}), "string": fmt.Sprint(hidden{s}),
	}
}

// The runtime prints the value of a panic by special rules. For example, it
// prints strings directly, even if their type has methods.
func TestPanics(t *testing.T) {
	const variable = "SECRET_TEST_PANIC"
	if name := os.Getenv(variable); name != "" {
		panic(values()[name])
	}
	for name := range values() {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestPanics$")
			cmd.Env = append(os.Environ(), variable+"="+name)
			out, err := cmd.CombinedOutput()
			require.Error(t, err)
			assert.Contains(t, string(out), "panic: ")
			assert.NotContains(t, string(out), "canary")
		})
	}
}

func TestText(t *testing.T) {
	s := secret.New(canary)
	assert.Equal(t, canary, s.Reveal())
	assert.False(t, s.IsZero())
	assert.True(t, s.Equal(secret.New(canary)))
	assert.False(t, s.Equal(secret.New("other")))
	assert.False(t, s.Equal(secret.Text{}))

	for _, empty := range []secret.Text{{}, secret.New("")} {
		assert.True(t, empty.IsZero())
		assert.Empty(t, empty.Reveal())
		assert.Empty(t, empty.String())
		assert.True(t, empty.Equal(secret.Text{}))
	}
}

func TestTextPrints(t *testing.T) {
	for text, want := range map[string]string{
		canary:                 "[redacted]",
		"postgres://u:p@h/db":  "postgres:[redacted]",
		"k1:abc":               "[redacted]", // the ID of a key is not a scheme
		"postgresque:password": "[redacted]",
	} {
		s := secret.New(text)
		assert.Equal(t, want, s.String())
		assert.Equal(t, want, fmt.Sprintf("%v", s))
		assert.Equal(t, `"`+want+`"`, fmt.Sprintf("%#v", s))
		b, err := json.Marshal(s)
		require.NoError(t, err)
		assert.Equal(t, `"`+want+`"`, string(b))
	}
	assert.Equal(t, "a: [redacted]", errors.New("a: "+secret.New("x").String()).Error())
	b, err := json.Marshal(struct {
		A secret.Text `json:",omitzero"`
	}{})
	require.NoError(t, err)
	assert.Equal(t, "{}", string(b))
}

func TestUnmarshalText(t *testing.T) {
	var got struct{ Key secret.Text }
	require.NoError(t, json.Unmarshal([]byte(`{"Key":"k1:abc"}`), &got))
	assert.Equal(t, "k1:abc", got.Key.Reveal())
	require.NoError(t, json.Unmarshal([]byte(`{"Key":""}`), &got))
	assert.True(t, got.Key.IsZero())
	for _, s := range []string{"abc", "postgres://u:p@h/db"} {
		printed, err := json.Marshal(struct{ Key secret.Text }{secret.New(s)})
		require.NoError(t, err)
		require.ErrorContains(t, json.Unmarshal(printed, &got), "redacted", "a printed configuration must not become the real one")
	}
}

func TestGobRefusesText(t *testing.T) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(struct {
		Name string
		Key  secret.Text
	}{"n", secret.New(canary)})
	require.ErrorContains(t, err, "secret.Text")
	assert.NotContains(t, b.String(), "canary")
}
