package config_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/config"
)

func TestMistypedVariablesAreUnknown(t *testing.T) {
	mistyped := []string{
		"STORAGE_BACKND", "STORGE_BACKEND", "TSORAGE_BACKEND", "storage_backend", "S3_BUCKET", "S3_SECRETKEY", "GCS_BUCKET", "LINK_SIGNING_KEY",
		"AUDIT_DB_URL", "APP_EMV", "APPENV", "MAX_UPLOAD_SIZE", "AZURE_STORAGE_CONN", "LOCALSTORAGE_PATH", "SINGED_URL_EXPIRATION_SECONDS",
	}
	others := []string{
		"PATH", "HOME", "APP_NAME", "AWS_ACCESS_KEY_ID", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "GOOGLE_APPLICATION_CREDENTIALS", "PGPASSWORD", "DATABASE_URL", "JWT_SIGNING_KEY",
		"LISTEN_ADDR", "NODE_ENV", "APP_KEY",
	}
	env := vars{"STORAGE_BACKEND": "local", "S3_REGIN": ""}
	for _, name := range slices.Concat(mistyped, others) {
		env[name] = "x"
	}
	cfg, err := config.LoadFrom(env)
	require.NoError(t, err, "others may read them")
	slices.Sort(mistyped)
	assert.Equal(t, mistyped, cfg.Unknown)
}

func TestKnownVariablesAreNotUnknown(t *testing.T) {
	env := make(vars)
	names, values := readEnvFile(t, "../.env.example")
	for _, name := range names {
		env[name] = values[name]
	}
	cfg, err := config.LoadFrom(env)
	require.NoError(t, err)
	assert.Empty(t, cfg.Unknown)
}
