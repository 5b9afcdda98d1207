package config_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/secret"
	"github.com/blobtrail/blobtrail/signurl"
)

type vars = map[string]string

func TestDefaults(t *testing.T) {
	cfg, err := config.LoadFrom(nil)
	require.NoError(t, err)
	assert.Equal(t, "sqlite:blobtrail.db", cfg.AuditDatabaseURL.Reveal())
	cfg.AuditDatabaseURL = secret.Text{} // which can't be compared
	assert.Equal(t, config.Config{
		AppEnv: "development", Backend: "local", LocalPath: "./uploads",
		S3:          config.S3{Region: "us-east-1", Encryption: "AES256"},
		LinkExpiry:  time.Hour,
		LinkBaseURL: "http://localhost:8080/links/",
	}, cfg)
}

func TestLoadReadsTheEnvironment(t *testing.T) {
	for _, name := range config.Variables() {
		t.Setenv(name, "")
	}
	t.Setenv("STORAGE_BACKEND", "s3")
	t.Setenv("S3_BUCKET_NAME", "my-bucket")
	t.Setenv("S3_USE_PATH_STYLE", "true")
	t.Setenv("SIGNED_URL_EXPIRATION_SECONDS", "90")
	t.Setenv("MAX_UPLOAD_BYTES", "1048576")
	cfg, err := config.Load()
	require.NoError(t, err)
	assert.Equal(t, "s3", cfg.Backend)
	assert.Equal(t, "my-bucket", cfg.S3.Bucket)
	assert.True(t, cfg.S3.UsePathStyle)
	assert.Equal(t, 90*time.Second, cfg.LinkExpiry)
	assert.EqualValues(t, 1<<20, cfg.MaxUploadSize)

	t.Setenv("S3_BUCKET_NAME", "")
	_, err = config.Load()
	assert.Equal(t, []string{"S3_BUCKET_NAME"}, problemsOf(t, err))
}

// Errors must not contain these secrets of the invalid configurations, or
// halves of them.
const (
	accessKey  = "AKIAIOSFODNN7EXAMPLE"
	secretKey  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	accountKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq"
	password   = "correct-horse-battery"
)

func s3(more vars) vars { return with(vars{"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "files"}, more) }
func azure(more vars) vars {
	return with(vars{"STORAGE_BACKEND": "azure", "AZURE_CONTAINER_NAME": "files"}, more)
}
func gcs(more vars) vars {
	return with(vars{"STORAGE_BACKEND": "gcs", "GCS_BUCKET_NAME": "files"}, more)
}

func production(more vars) vars {
	return with(vars{"APP_ENV": "production", "LINK_BASE_URL": "https://files.example.com/", "LINK_SIGNING_KEYS": signurl.GenerateKey().Encode()}, more)
}

func with(a, b vars) vars {
	for k, v := range b {
		a[k] = v
	}
	return a
}

func TestEveryMistakeIsReportedByName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	key := signurl.GenerateKey().Encode()
	made, verifying, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	require.NoError(t, err)
	signing := made.Reveal()
	_, foreign, err := sqlaudit.GenerateDeploymentKey("acme.example/files") // of the same name
	require.NoError(t, err)
	tests := []struct {
		name string
		env  vars
		want []string // sorted
	}{
		{"unknown environment", vars{"APP_ENV": "prodution"}, []string{"APP_ENV"}},
		{"unknown backend", vars{"STORAGE_BACKEND": "s4"}, []string{"STORAGE_BACKEND"}},
		{"a secret as backend", vars{"STORAGE_BACKEND": secretKey}, []string{"STORAGE_BACKEND"}},
		{"backend in quotes", vars{"STORAGE_BACKEND": `"s3"`}, []string{"S3_BUCKET_NAME", "STORAGE_BACKEND"}},
		{"blank path", vars{"LOCAL_STORAGE_PATH": "  "}, []string{"LOCAL_STORAGE_PATH"}},
		{"path of a file", vars{"LOCAL_STORAGE_PATH": file}, []string{"LOCAL_STORAGE_PATH"}},
		{"path with NUL", vars{"LOCAL_STORAGE_PATH": "a\x00b"}, []string{"LOCAL_STORAGE_PATH"}},
		{"expiry in words", vars{"SIGNED_URL_EXPIRATION_SECONDS": "1h"}, []string{"SIGNED_URL_EXPIRATION_SECONDS"}},
		{"no expiry", vars{"SIGNED_URL_EXPIRATION_SECONDS": "0"}, []string{"SIGNED_URL_EXPIRATION_SECONDS"}},
		{"negative expiry", vars{"SIGNED_URL_EXPIRATION_SECONDS": "-5"}, []string{"SIGNED_URL_EXPIRATION_SECONDS"}},
		{"expiry of 8 days", vars{"SIGNED_URL_EXPIRATION_SECONDS": "691200"}, []string{"SIGNED_URL_EXPIRATION_SECONDS"}},
		{"huge expiry", vars{"SIGNED_URL_EXPIRATION_SECONDS": "99999999999999999999"}, []string{"SIGNED_URL_EXPIRATION_SECONDS"}},
		{"limit with a unit", vars{"MAX_UPLOAD_BYTES": "10MB"}, []string{"MAX_UPLOAD_BYTES"}},
		{"negative limit", vars{"MAX_UPLOAD_BYTES": "-1"}, []string{"MAX_UPLOAD_BYTES"}},

		{"s3 without anything", vars{"STORAGE_BACKEND": "s3"}, []string{"S3_BUCKET_NAME"}},
		{"s3 bucket in capitals", s3(vars{"S3_BUCKET_NAME": "My_Bucket"}), []string{"S3_BUCKET_NAME"}},
		{"s3 bucket as URL", s3(vars{"S3_BUCKET_NAME": "s3://files"}), []string{"S3_BUCKET_NAME"}},
		{"s3 access key alone", s3(vars{"S3_ACCESS_KEY": accessKey}), []string{"S3_SECRET_KEY"}},
		{"s3 secret key alone", s3(vars{"S3_SECRET_KEY": secretKey}), []string{"S3_ACCESS_KEY"}},
		{"s3 secret key with a line end", s3(vars{"S3_ACCESS_KEY": accessKey, "S3_SECRET_KEY": secretKey + "\n"}), []string{"S3_SECRET_KEY"}},
		{"s3 region with a space", s3(vars{"S3_REGION": "eu central 1"}), []string{"S3_REGION"}},
		{"s3 endpoint without scheme", s3(vars{"S3_ENDPOINT": "minio:9000"}), []string{"S3_ENDPOINT"}},
		{"s3 endpoint with a password", s3(vars{"S3_ENDPOINT": "http://admin:" + password + "@minio:9000"}), []string{"S3_ENDPOINT"}},
		{"s3 endpoint that can't be parsed", s3(vars{"S3_ENDPOINT": "http://admin:" + password + "%zz@minio"}), []string{"S3_ENDPOINT"}},
		{"s3 public endpoint with a query", s3(vars{"S3_PUBLIC_ENDPOINT": "https://cdn.example.com/?x=" + password}), []string{"S3_PUBLIC_ENDPOINT"}},
		{"s3 path style in words", s3(vars{"S3_USE_PATH_STYLE": "yes"}), []string{"S3_USE_PATH_STYLE"}},
		{"s3 unknown encryption", s3(vars{"S3_SSE": "aes"}), []string{"S3_SSE"}},
		{"s3 key without aws:kms", s3(vars{"S3_KMS_KEY_ID": "alias/files"}), []string{"S3_KMS_KEY_ID"}},

		{"azure without anything", vars{"STORAGE_BACKEND": "azure"}, []string{"AZURE_CONTAINER_NAME", "AZURE_STORAGE_CONNECTION_STRING"}},
		{"azure container with double hyphens", azure(vars{"AZURE_CONTAINER_NAME": "my--files", "AZURE_STORAGE_ACCOUNT_URL": "https://a.blob.core.windows.net"}), []string{"AZURE_CONTAINER_NAME"}},
		{"azure both ways in", azure(vars{"AZURE_STORAGE_ACCOUNT_URL": "https://a.blob.core.windows.net", "AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=" + accountKey + "=="}), []string{"AZURE_STORAGE_ACCOUNT_URL"}},
		{"azure connection string is the bare key", azure(vars{"AZURE_STORAGE_CONNECTION_STRING": accountKey}), []string{"AZURE_STORAGE_CONNECTION_STRING"}},
		{"azure connection string without name", azure(vars{"AZURE_STORAGE_CONNECTION_STRING": "AccountKey=" + accountKey + "=="}), []string{"AZURE_STORAGE_CONNECTION_STRING"}},
		{"azure connection string without key", azure(vars{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=files"}), []string{"AZURE_STORAGE_CONNECTION_STRING"}},
		{"azure key cut off", azure(vars{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=" + accountKey}), []string{"AZURE_STORAGE_CONNECTION_STRING"}},
		{"azure account URL without account", azure(vars{"AZURE_STORAGE_ACCOUNT_URL": "https://localhost"}), []string{"AZURE_STORAGE_ACCOUNT_URL"}},

		{"gcs without anything", vars{"STORAGE_BACKEND": "gcs"}, []string{"GCS_BUCKET_NAME"}},
		{"gcs bucket with a slash", gcs(vars{"GCS_BUCKET_NAME": "files/invoices"}), []string{"GCS_BUCKET_NAME"}},
		{"gcs key file is missing", gcs(vars{"GCS_CREDENTIALS_PATH": file + ".json"}), []string{"GCS_CREDENTIALS_PATH"}},
		{"gcs key file is a folder", gcs(vars{"GCS_CREDENTIALS_PATH": filepath.Dir(file)}), []string{"GCS_CREDENTIALS_PATH"}},
		{"gcs key instead of its path", gcs(vars{"GCS_CREDENTIALS_PATH": `{"private_key":"` + secretKey + `"}`}), []string{"GCS_CREDENTIALS_PATH"}},
		{"gcs project in capitals", gcs(vars{"GCS_PROJECT_ID": "My Project"}), []string{"GCS_PROJECT_ID"}},

		{"URL without scheme", vars{"STORAGE_URL": "/var/lib/files"}, []string{"STORAGE_URL"}},
		{"URL with a password", vars{"STORAGE_URL": "s3://user:" + password + "@files"}, []string{"STORAGE_URL"}},
		{"URL that can't be parsed", vars{"STORAGE_URL": "s3://user:" + password + "%zz@files"}, []string{"STORAGE_URL"}},
		{"URL of another backend", s3(vars{"STORAGE_URL": "gs://files"}), []string{"STORAGE_URL"}},
		{"URL of s3 with one key", vars{"STORAGE_URL": "s3://files", "S3_ACCESS_KEY": accessKey}, []string{"S3_SECRET_KEY"}},

		{"database without scheme", vars{"AUDIT_DATABASE_URL": "blobtrail.db"}, []string{"AUDIT_DATABASE_URL"}},
		{"database of another kind", vars{"AUDIT_DATABASE_URL": "mongodb://root:" + password + "@db/files"}, []string{"AUDIT_DATABASE_URL"}},
		{"database without a name", vars{"AUDIT_DATABASE_URL": "sqlite:"}, []string{"AUDIT_DATABASE_URL"}},
		{"database URL that can't be parsed", vars{"AUDIT_DATABASE_URL": "postgres://root:" + password + "%zz@db/files"}, []string{"AUDIT_DATABASE_URL"}},
		{"mysql URL that can't be parsed", vars{"AUDIT_DATABASE_URL": "mysql://root:" + password + "%zz@db/files"}, []string{"AUDIT_DATABASE_URL"}},

		{"link base without scheme", vars{"LINK_BASE_URL": "files.example.com"}, []string{"LINK_BASE_URL"}},
		{"link base with a password", vars{"LINK_BASE_URL": "https://u:" + password + "@files.example.com/"}, []string{"LINK_BASE_URL"}},
		{"link key without ID", vars{"LINK_SIGNING_KEYS": secretKey}, []string{"LINK_SIGNING_KEYS"}},
		{"link key that is a password", vars{"LINK_SIGNING_KEYS": "k1:" + password}, []string{"LINK_SIGNING_KEYS"}},
		{"link key twice", vars{"LINK_SIGNING_KEYS": key + "," + key}, []string{"LINK_SIGNING_KEYS"}},

		{"production on defaults", vars{"APP_ENV": "production"}, []string{"LINK_BASE_URL", "LINK_SIGNING_KEYS"}},
		{"staging on defaults", vars{"APP_ENV": "staging"}, []string{"LINK_BASE_URL", "LINK_SIGNING_KEYS"}},
		{"production on s3", s3(vars{"APP_ENV": "production"}), []string{"LINK_BASE_URL", "LINK_SIGNING_KEYS"}},
		{"staging on azure", azure(vars{"APP_ENV": "staging", "AZURE_STORAGE_ACCOUNT_URL": "https://a.blob.core.windows.net"}), []string{"LINK_BASE_URL", "LINK_SIGNING_KEYS"}},
		{"production on gcs", gcs(vars{"APP_ENV": "production", "LINK_BASE_URL": "https://files.example.com/"}), []string{"LINK_SIGNING_KEYS"}},
		{"production on s3 by URL", vars{"APP_ENV": "production", "STORAGE_URL": "s3://files", "LINK_BASE_URL": "https://files.example.com/"}, []string{"LINK_SIGNING_KEYS"}},
		{"production with links to 127.0.0.1", production(vars{"LINK_BASE_URL": "http://127.0.0.1:8080/"}), []string{"LINK_BASE_URL"}},
		{"signing key without its verifier", vars{"AUDIT_DEPLOYMENT_KEY": signing}, []string{"AUDIT_VERIFIER_KEYS"}},
		{"signing key that is none", vars{"AUDIT_DEPLOYMENT_KEY": secretKey, "AUDIT_VERIFIER_KEYS": verifying}, []string{"AUDIT_DEPLOYMENT_KEY"}},
		{"keys in each other's place", vars{"AUDIT_DEPLOYMENT_KEY": verifying, "AUDIT_VERIFIER_KEYS": signing}, []string{"AUDIT_DEPLOYMENT_KEY", "AUDIT_VERIFIER_KEYS"}},
		{"verifier key of another deployment", vars{"AUDIT_DEPLOYMENT_KEY": signing, "AUDIT_VERIFIER_KEYS": foreign}, []string{"AUDIT_VERIFIER_KEYS"}},
		{"verifier key cut off", vars{"AUDIT_VERIFIER_KEYS": verifying + "," + verifying[:20]}, []string{"AUDIT_VERIFIER_KEYS"}},
		{"checkpoints to no URL", vars{"AUDIT_CHECKPOINTS_URL": "checkpoints"}, []string{"AUDIT_CHECKPOINTS_URL"}},
		{"checkpoints with a password", vars{"AUDIT_CHECKPOINTS_URL": "s3://u:" + password + "@b"}, []string{"AUDIT_CHECKPOINTS_URL"}},
		{"production with a trail in memory", production(vars{"AUDIT_DATABASE_URL": "sqlite::memory:"}), []string{"AUDIT_DATABASE_URL"}},
		{"production with files in memory", production(vars{"STORAGE_URL": "mem://"}), []string{"STORAGE_URL"}},

		{"everything at once", vars{
			"APP_ENV": "live", "STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "X", "S3_REGION": "?", "S3_ACCESS_KEY": accessKey,
			"S3_ENDPOINT": "minio", "S3_USE_PATH_STYLE": "on", "S3_SSE": "rot13", "SIGNED_URL_EXPIRATION_SECONDS": "soon",
			"MAX_UPLOAD_BYTES": "1e6", "AUDIT_DATABASE_URL": "redis://:" + password + "@h", "LINK_BASE_URL": "ftp://h", "LINK_SIGNING_KEYS": password,
		}, []string{
			"APP_ENV", "AUDIT_DATABASE_URL", "LINK_BASE_URL", "LINK_SIGNING_KEYS", "MAX_UPLOAD_BYTES", "S3_BUCKET_NAME", "S3_ENDPOINT",
			"S3_REGION", "S3_SECRET_KEY", "S3_SSE", "S3_USE_PATH_STYLE", "SIGNED_URL_EXPIRATION_SECONDS",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := config.LoadFrom(tt.env)
			assert.Equal(t, tt.want, problemsOf(t, err), "%v", err)
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg)} {
				assertNoSecret(t, text)
			}
		})
	}
	require.GreaterOrEqual(t, len(tests), 30)
}

func assertNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{accessKey, secretKey, accountKey, password} {
		for _, half := range []string{secret[:len(secret)/2], secret[len(secret)/2:]} {
			assert.NotContains(t, text, half)
		}
	}
}

// problemsOf returns the variables of the problems joined by err.
func problemsOf(t *testing.T, err error) (names []string) {
	t.Helper()
	require.Error(t, err)
	var joined interface{ Unwrap() []error }
	require.ErrorAs(t, err, &joined)
	for _, e := range joined.Unwrap() {
		var p *config.Problem
		require.ErrorAs(t, e, &p)
		assert.NotEmpty(t, p.Wrong)
		assert.NotEmpty(t, p.Want)
		assert.True(t, strings.HasPrefix(e.Error(), p.Variable+": "), e.Error())
		names = append(names, p.Variable)
	}
	return names
}

func TestGoodConfigurations(t *testing.T) {
	signing, verifying, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	require.NoError(t, err)
	_, old, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	require.NoError(t, err)
	key := filepath.Join(t.TempDir(), "key.json")
	require.NoError(t, os.WriteFile(key, []byte("{}"), 0o600))
	tests := []struct {
		name string
		env  vars
		url  string
	}{
		{"defaults", nil, "local://./uploads?create=true"},
		{"relative folder", vars{"LOCAL_STORAGE_PATH": "files"}, "local://./files?create=true"},
		{"folder above", vars{"LOCAL_STORAGE_PATH": "../files"}, "local://./../files?create=true"},
		{"folder with awkward characters", vars{"LOCAL_STORAGE_PATH": "/var/my files/100%?#ü"}, "local:///var/my%20files/100%25%3F%23%C3%BC?create=true"},
		{"production on local files", production(nil), "local://./uploads?create=true"},
		{"any URL", vars{"STORAGE_URL": "file:///srv/files?metadata=x"}, "file:///srv/files?metadata=x"},
		{"a URL of somebody else's provider", vars{"STORAGE_URL": "swift://files"}, "swift://files"},
		{"memory", vars{"STORAGE_URL": "mem://"}, "mem://"},
		{"s3", s3(nil), "s3://files?region=us-east-1&sse=AES256"},
		{"s3 in production", s3(production(nil)), "s3://files?region=us-east-1&sse=AES256"},
		{"s3 elsewhere", s3(vars{
			"S3_REGION": "auto", "S3_ENDPOINT": "http://127.0.0.1:9000", "S3_PUBLIC_ENDPOINT": "https://cdn.example.com", "S3_USE_PATH_STYLE": "true",
			"S3_SSE": "none", "S3_ACCESS_KEY": accessKey, "S3_SECRET_KEY": secretKey,
		}), "s3://files?endpoint=http%3A%2F%2F127.0.0.1%3A9000&public_endpoint=https%3A%2F%2Fcdn.example.com&region=auto&sse=none&use_path_style=true"},
		{"s3 with a key", s3(vars{"S3_SSE": "aws:kms", "S3_KMS_KEY_ID": "alias/files"}), "s3://files?kms_key_id=alias%2Ffiles&region=us-east-1&sse=aws%3Akms"},
		{"azure by key", azure(vars{"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=" + accountKey + "==;EndpointSuffix=core.windows.net;"}), "azblob://files?create=true"},
		{"azure by SAS", azure(vars{"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sv=1&sig=x"}), "azblob://files?create=true"},
		{"azure emulator", azure(vars{"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}), "azblob://files?create=true"},
		{"azure by token", azure(vars{"AZURE_STORAGE_ACCOUNT_URL": "https://acct.blob.core.windows.net/"}), "azblob://files?account_url=https%3A%2F%2Facct.blob.core.windows.net%2F&create=true"},
		{"azure emulator by token", azure(vars{"AZURE_STORAGE_ACCOUNT_URL": "http://127.0.0.1:10000/acct"}), "azblob://files?account_url=http%3A%2F%2F127.0.0.1%3A10000%2Facct&create=true"},
		{"gcs", gcs(vars{"GCS_CREDENTIALS_PATH": key, "GCS_PROJECT_ID": "my-project-1"}), "gs://files?credentials_path=" + url.QueryEscape(key) + "&project_id=my-project-1"},
		{"gcs by default credentials", gcs(nil), "gs://files"},
		{"postgres", vars{"AUDIT_DATABASE_URL": "postgres://u:" + password + "@db:5432/files?sslmode=require"}, "local://./uploads?create=true"},
		{"mariadb", vars{"AUDIT_DATABASE_URL": "mariadb://u:" + password + "@db:3306/files"}, "local://./uploads?create=true"},
		{"keys that were rotated", vars{"AUDIT_DEPLOYMENT_KEY": signing.Reveal(), "AUDIT_VERIFIER_KEYS": old + ", " + verifying}, "local://./uploads?create=true"},
		{"mysql", vars{"AUDIT_DATABASE_URL": "mysql:u:" + password + "@tcp(db:3306)/files"}, "local://./uploads?create=true"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := config.LoadFrom(tt.env)
			require.NoError(t, err)
			u, err := cfg.StorageURL()
			require.NoError(t, err)
			assert.Equal(t, tt.url, u)
			assertNoSecret(t, u)
			assertNoSecret(t, fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg))
		})
	}
}

func TestStrictRefusesLocalFilesInProduction(t *testing.T) {
	cfg, err := config.LoadFrom(production(nil))
	require.NoError(t, err)
	cfg.Strict = true
	assert.Equal(t, []string{"LOCAL_STORAGE_PATH"}, problemsOf(t, cfg.Validate()))

	cfg.AppEnv = "development"
	assert.NoError(t, cfg.Validate())
}

func TestProblemIsFoundByErrorsAs(t *testing.T) {
	_, err := config.LoadFrom(vars{"STORAGE_BACKEND": "s4"})
	var p *config.Problem
	require.ErrorAs(t, err, &p)
	assert.Equal(t, `STORAGE_BACKEND: "s4" is unknown: want local, s3, azure or gcs`, p.Error())
}
