package blobtrail

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/signurl"
)

// Every program has a signer, whatever its backend. Without a signer, the
// program could not serve, revoke or count links.
func TestSignerOnEveryBackend(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"local":         nil,
		"memory":        {"STORAGE_URL": "mem://"},
		"s3":            {"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "files"},
		"s3 by keys":    {"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "files", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "s"},
		"s3 by URL":     {"STORAGE_URL": "s3://files"},
		"azure":         {"STORAGE_BACKEND": "azure", "AZURE_CONTAINER_NAME": "files", "AZURE_STORAGE_ACCOUNT_URL": "https://a.blob.core.windows.net"},
		"gcs":           {"STORAGE_BACKEND": "gcs", "GCS_BUCKET_NAME": "files"},
		"other by URL":  {"STORAGE_URL": "swift://files"},
		"test settings": {"APP_ENV": "test", "STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "files"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.LoadFrom(env)
			require.NoError(t, err)
			var log bytes.Buffer
			signer, err := chooseSigner(t.Context(), cfg, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, err)
			require.NotNil(t, signer)
			assert.Contains(t, log.String(), "LINK_SIGNING_KEYS")

			log.Reset()
			with := map[string]string{"LINK_SIGNING_KEYS": signurl.GenerateKey().Encode(), "APP_ENV": "production", "LINK_BASE_URL": "https://files.example.com/"}
			for k, v := range env {
				if k != "APP_ENV" && v != "mem://" {
					with[k] = v
				}
			}
			cfg, err = config.LoadFrom(with)
			require.NoError(t, err)
			signer, err = chooseSigner(t.Context(), cfg, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, err)
			require.NotNil(t, signer)
			assert.Empty(t, log.String())
		})
	}
}
