package config_test

// Users start programs with .env.example, so it must contain every variable
// with its correct default.

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/secret"
)

// readEnvFile parses the file like docker and systemd do.
func readEnvFile(t *testing.T, path string) (names []string, values map[string]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	values = make(map[string]string)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		require.True(t, ok, "%q is no assignment", line)
		require.NotContains(t, values, name, "assigned twice")
		names, values[name] = append(names, name), value
	}
	return names, values
}

func TestEnvExampleNamesTheSameVariables(t *testing.T) {
	names, values := readEnvFile(t, "../.env.example")
	slices.Sort(names)
	assert.Equal(t, config.Variables(), names)
	assert.Equal(t, defaults(reflect.TypeFor[config.Config]()), values, "the defaults of the code and of the file")

	// The original system's programs keep working with their environment.
	assert.Subset(t, names, []string{
		"STORAGE_BACKEND", "LOCAL_STORAGE_PATH", "S3_BUCKET_NAME", "S3_REGION", "S3_ACCESS_KEY", "S3_SECRET_KEY",
		"AZURE_STORAGE_CONNECTION_STRING", "AZURE_CONTAINER_NAME", "GCS_BUCKET_NAME", "GCS_CREDENTIALS_PATH",
		"GCS_PROJECT_ID", "SIGNED_URL_EXPIRATION_SECONDS",
	})
}

// defaults returns the defaults in the struct tags.
func defaults(t reflect.Type) map[string]string {
	values := make(map[string]string)
	for f := range t.Fields() {
		switch name := f.Tag.Get("env"); {
		case name == "" && f.Type.Kind() == reflect.Struct:
			for k, v := range defaults(f.Type) {
				values[k] = v
			}
		case name != "" && name != "-":
			values[name] = f.Tag.Get("envDefault")
		}
	}
	return values
}

func TestEnvExampleIsValid(t *testing.T) {
	_, values := readEnvFile(t, "../.env.example")
	got, err := config.LoadFrom(values)
	require.NoError(t, err)
	want, err := config.LoadFrom(nil)
	require.NoError(t, err)
	assert.Equal(t, want.AuditDatabaseURL.Reveal(), got.AuditDatabaseURL.Reveal())
	want.AuditDatabaseURL, got.AuditDatabaseURL = secret.Text{}, secret.Text{} // which can't be compared
	assert.Equal(t, want, got)
}
