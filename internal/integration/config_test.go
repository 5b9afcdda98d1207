package integration

// This file tests that the variables of package config, including credentials,
// lead to each real service.

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/secret"
)

func TestConfigReachesTheServices(t *testing.T) {
	for name, env := range map[string]func(t *testing.T) map[string]string{
		"s3": func(t *testing.T) map[string]string {
			s := VersityGW(t)
			bucket := "config-keys"
			driverBucket(t, s, bucket)
			return map[string]string{
				"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": bucket, "S3_ENDPOINT": s.Endpoint, "S3_USE_PATH_STYLE": "true", "S3_SSE": "none",
				"S3_ACCESS_KEY": s.AccessKey, "S3_SECRET_KEY": s.SecretKey,
			}
		},
		"azure": func(t *testing.T) map[string]string {
			return map[string]string{"STORAGE_BACKEND": "azure", "AZURE_CONTAINER_NAME": "config-keys", "AZURE_STORAGE_CONNECTION_STRING": Azurite(t).ConnectionString}
		},
		"gcs": func(t *testing.T) map[string]string {
			s := FakeGCS(t)
			return map[string]string{"STORAGE_URL": "gs://config-keys?create=true&endpoint=" + s.Endpoint, "GCS_CREDENTIALS_PATH": s.CredentialsFile}
		},
	} {
		t.Run(name, func(t *testing.T) {
			vars := env(t)
			vars["AUDIT_DATABASE_URL"] = "sqlite:" + filepath.Join(t.TempDir(), "trail.db")
			cfg, err := config.LoadFrom(vars)
			require.NoError(t, err)
			app, err := blobtrail.Open(t.Context(), &blobtrail.Options{Config: &cfg, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
			_, err = app.Store.Upload(ctx, "a", strings.NewReader("hello"), nil)
			require.NoError(t, err)
			redeemAndRevoke(t, app)
			require.NoError(t, app.Close(ctx))
		})
	}
}

// redeemAndRevoke serves links with default settings, like docs/start.md.
func redeemAndRevoke(t *testing.T, app *blobtrail.App) {
	t.Helper()
	handler := blobhttp.Links(app.Store, nil)
	get := func(link *blobstore.Link) int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, link.URL(), nil))
		return w.Code
	}
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	link, err := app.Store.Link(ctx, "a", &blobstore.LinkOptions{Revocable: true})
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, get(link))
	require.NoError(t, app.Store.Revoke(ctx, "a", link.GrantID))
	assert.Equal(t, http.StatusGone, get(link))
	once, err := app.Store.Link(ctx, "a", &blobstore.LinkOptions{MaxUses: 1})
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, get(once))
	assert.Equal(t, http.StatusGone, get(once))
}

// driverBucket creates a bucket, because config never creates one on S3.
func driverBucket(t *testing.T, s *S3, name string) {
	t.Helper()
	b, err := driver.Open(t.Context(), "s3://"+name+"?create=true&region=us-east-1&use_path_style=true&sse=none&endpoint="+s.Endpoint, driver.Credentials{AccessKey: secret.New(s.AccessKey), SecretKey: secret.New(s.SecretKey)})
	require.NoError(t, err)
	require.NoError(t, b.Close())
}
