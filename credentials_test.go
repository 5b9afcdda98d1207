package blobtrail

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/secret"
)

func TestCredentials(t *testing.T) {
	const conn = "AccountName=a;AccountKey=eA=="
	s3 := config.Config{Backend: "s3", S3: config.S3{AccessKey: secret.New("k"), SecretKey: secret.New("s")}}
	for _, tt := range []struct {
		name string
		cfg  config.Config
		want driver.Credentials
		from string
	}{
		{"local", config.Config{Backend: "local"}, driver.Credentials{}, ""},
		{"s3 by the default chain", config.Config{Backend: "s3"}, driver.Credentials{}, ""},
		{"s3 by keys", s3, driver.Credentials{AccessKey: secret.New("k"), SecretKey: secret.New("s")}, "S3_ACCESS_KEY"},
		{"s3 by URL and keys", config.Config{Backend: "local", URL: secret.New("s3://files"), S3: s3.S3}, driver.Credentials{AccessKey: secret.New("k"), SecretKey: secret.New("s")}, "S3_ACCESS_KEY"},
		{"keys of another backend", config.Config{Backend: "local", S3: s3.S3}, driver.Credentials{}, ""},
		{"azure", config.Config{Backend: "azure", Azure: config.Azure{ConnectionString: secret.New(conn)}}, driver.Credentials{ConnectionString: secret.New(conn)}, "AZURE_STORAGE_CONNECTION_STRING"},
		{"gcs by a file", config.Config{Backend: "gcs", GCS: config.GCS{CredentialsFile: "key.json"}}, driver.Credentials{CredentialsFile: "key.json"}, "GCS_CREDENTIALS_PATH"},
		{"gcs by URL and file", config.Config{Backend: "local", URL: secret.New("gs://files"), GCS: config.GCS{CredentialsFile: "key.json"}}, driver.Credentials{CredentialsFile: "key.json"}, "GCS_CREDENTIALS_PATH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			location, err := tt.cfg.StorageURL()
			require.NoError(t, err)
			got, from := credentialsOf(tt.cfg, location)
			assert.Equal(t, tt.from, from)
			assert.Equal(t, [4]string{tt.want.AccessKey.Reveal(), tt.want.SecretKey.Reveal(), tt.want.ConnectionString.Reveal(), tt.want.CredentialsFile},
				[4]string{got.AccessKey.Reveal(), got.SecretKey.Reveal(), got.ConnectionString.Reveal(), got.CredentialsFile})
		})
	}
}
