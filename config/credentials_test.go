package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestForeignCredentials(t *testing.T) {
	const conn = "AccountName=a;AccountKey=eA=="
	s3 := Config{Backend: BackendS3, S3: S3{AccessKey: NewSecret("k"), SecretKey: NewSecret("s")}}
	azure := Config{Backend: BackendAzure, Azure: Azure{ConnectionString: NewSecret(conn)}}
	for _, tt := range []struct {
		name string
		cfg  Config
		env  map[string]string
		want string
	}{
		{"local", Config{Backend: BackendLocal}, nil, ""},
		{"s3 by the default chain", Config{Backend: BackendS3}, nil, ""},
		{"s3 by keys", s3, nil, "S3_ACCESS_KEY"},
		{"s3 by URL and keys", Config{Backend: BackendLocal, URL: NewSecret("s3://files"), S3: s3.S3}, nil, "S3_ACCESS_KEY"},
		{"keys of another backend", Config{Backend: BackendLocal, S3: s3.S3}, nil, ""},
		{"azure, the same variable", azure, map[string]string{"AZURE_STORAGE_CONNECTION_STRING": conn}, ""},
		{"azure, from elsewhere", azure, nil, "AZURE_STORAGE_CONNECTION_STRING"},
		{"azure, another text", azure, map[string]string{"AZURE_STORAGE_CONNECTION_STRING": conn + ";"}, "AZURE_STORAGE_CONNECTION_STRING"},
		{"azure, a key that comes first", azure, map[string]string{"AZURE_STORAGE_CONNECTION_STRING": conn, "AZURE_STORAGE_KEY": "eA=="}, "AZURE_STORAGE_CONNECTION_STRING"},
		{"gcs by a file", Config{Backend: BackendGCS, GCS: GCS{CredentialsPath: "key.json"}}, nil, ""},
		{"gcs by URL and file", Config{Backend: BackendLocal, URL: NewSecret("gs://files"), GCS: GCS{CredentialsPath: "key.json"}}, nil, "GCS_CREDENTIALS_PATH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, tt.cfg.foreignCredentials(func(name string) string { return tt.env[name] }))
		})
	}
}
