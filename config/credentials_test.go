package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/secret"
)

func TestCredentials(t *testing.T) {
	const conn = "AccountName=a;AccountKey=eA=="
	s3 := Config{Backend: BackendS3, S3: S3{AccessKey: secret.New("k"), SecretKey: secret.New("s")}}
	for _, tt := range []struct {
		name string
		cfg  Config
		want *driver.Credentials
		from string
	}{
		{"local", Config{Backend: BackendLocal}, nil, ""},
		{"s3 by the default chain", Config{Backend: BackendS3}, nil, ""},
		{"s3 by keys", s3, &driver.Credentials{AccessKey: secret.New("k"), SecretKey: secret.New("s")}, "S3_ACCESS_KEY"},
		{"s3 by URL and keys", Config{Backend: BackendLocal, URL: secret.New("s3://files"), S3: s3.S3}, &driver.Credentials{AccessKey: secret.New("k"), SecretKey: secret.New("s")}, "S3_ACCESS_KEY"},
		{"keys of another backend", Config{Backend: BackendLocal, S3: s3.S3}, nil, ""},
		{"azure", Config{Backend: BackendAzure, Azure: Azure{ConnectionString: secret.New(conn)}}, &driver.Credentials{ConnectionString: secret.New(conn)}, "AZURE_STORAGE_CONNECTION_STRING"},
		{"gcs by a file", Config{Backend: BackendGCS, GCS: GCS{CredentialsPath: "key.json"}}, &driver.Credentials{KeyFile: "key.json"}, "GCS_CREDENTIALS_PATH"},
		{"gcs by URL and file", Config{Backend: BackendLocal, URL: secret.New("gs://files"), GCS: GCS{CredentialsPath: "key.json"}}, &driver.Credentials{KeyFile: "key.json"}, "GCS_CREDENTIALS_PATH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, from := tt.cfg.credentials()
			assert.Equal(t, tt.from, from)
			if tt.want == nil {
				assert.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			assert.Equal(t, [4]string{tt.want.AccessKey.Reveal(), tt.want.SecretKey.Reveal(), tt.want.ConnectionString.Reveal(), tt.want.KeyFile},
				[4]string{got.AccessKey.Reveal(), got.SecretKey.Reveal(), got.ConnectionString.Reveal(), got.KeyFile})
		})
	}
}
