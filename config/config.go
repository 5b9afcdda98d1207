package config

import (
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/secret"
)

// These are the values of Config.Backend.
const (
	backendLocal  = "local"
	backendS3     = "s3"
	backendAzure  = "azure"
	backendGCS    = "gcs"
	backendMemory = "mem" // only with STORAGE_URL=mem://
)

// These are the values of Config.AppEnv.
const (
	envDevelopment = "development"
	envTest        = "test"
	envStaging     = "staging"
	envProduction  = "production"
)

// Config is the configuration read from the environment. It is a plain value. A
// program may change it between [Load] and blobtrail.Open, which validates it
// again. The defaults in these comments are those of [Load]. An empty variable
// counts as unset.
type Config struct {
	// AppEnv is the environment of the program: development (the default),
	// test, staging or production. Staging is treated like production, so that
	// a failure in production shows in staging first.
	AppEnv string `env:"APP_ENV" envDefault:"development"`

	// Backend is the storage of the files: local (the default), s3, azure or
	// gcs.
	Backend string `env:"STORAGE_BACKEND" envDefault:"local"`

	// URL is the Go CDK URL of the storage. If it is set, it replaces Backend
	// and the names, locations and options of the backend. Credentials remain
	// in their own variables.
	URL secret.Text `env:"STORAGE_URL"`

	// LocalPath is the folder of backend local. blobtrail.Open creates it if it
	// is missing. A relative path starts at the working directory. The default
	// is ./uploads.
	LocalPath string `env:"LOCAL_STORAGE_PATH" envDefault:"./uploads"`

	S3    S3
	Azure Azure
	GCS   GCS

	// LinkExpiry is the lifetime of a link without an explicit expiry: 1 second
	// to 7 days. The variable is a whole number of seconds. The default is 1
	// hour.
	LinkExpiry time.Duration `env:"SIGNED_URL_EXPIRATION_SECONDS" envDefault:"3600"`

	// LinkBaseURL is the public URL of the program's link handler. The default
	// is http://localhost:8080/links/.
	LinkBaseURL string `env:"LINK_BASE_URL" envDefault:"http://localhost:8080/links/"`

	// LinkSigningKeys are the keys of links served by the program's own
	// handler, in the form of signurl.ParseKeys. The first key signs, and all
	// keys verify. By default, blobtrail.Open generates a key that is lost when
	// the process ends. In production and staging, the variable is required.
	// Both rules apply to every backend.
	LinkSigningKeys secret.Text `env:"LINK_SIGNING_KEYS"`

	// MaxUploadSize is the maximum size of an upload in bytes. 0, the default,
	// means unlimited.
	MaxUploadSize int64 `env:"MAX_UPLOAD_BYTES" envDefault:"0"`

	// AuditDatabaseURL is the database of the trail, in the form of
	// sqlaudit.Open. The default is sqlite:blobtrail.db.
	AuditDatabaseURL secret.Text `env:"AUDIT_DATABASE_URL" envDefault:"sqlite:blobtrail.db"`

	// AuditDeploymentKey certifies the processes that write the trail. All of
	// them need the same key; sqlaudit.GenerateDeploymentKey generates it. By
	// default it is empty, and each process certifies itself.
	AuditDeploymentKey secret.Text `env:"AUDIT_DEPLOYMENT_KEY"`

	// AuditVerifierKeys are the current and past verifier keys of the
	// deployment, separated by commas; see blobtrail.App.Verify. Required with
	// AuditDeploymentKey.
	AuditVerifierKeys string `env:"AUDIT_VERIFIER_KEYS"`

	// AuditCheckpointsURL is the Go CDK URL of the bucket to which the trail's
	// checkpoints are published. Its owner should not be the owner of the
	// database. If its backend is that of the files, the same credentials are
	// used; otherwise, the provider's default credentials are used. By default
	// the URL is empty, and the end of the trail can be cut off undetected.
	AuditCheckpointsURL string `env:"AUDIT_CHECKPOINTS_URL"`

	// Strict turns the warning about local files in production into a problem.
	// The program sets it, not the environment.
	Strict bool `env:"-"`

	// Unknown contains the sorted names of set variables that Load does not
	// read, but that resemble its variables: they have the same prefix, or
	// differ in one or two letters. blobtrail.Open logs them. A program that
	// reads some of them should remove those.
	Unknown []string `env:"-"`
}

// S3 configures Amazon S3 or a compatible service.
type S3 struct {
	Bucket string `env:"S3_BUCKET_NAME"`
	Region string `env:"S3_REGION" envDefault:"us-east-1"`

	// Set both keys, or neither to use the SDK's default credential chain.
	AccessKey secret.Text `env:"S3_ACCESS_KEY"`
	SecretKey secret.Text `env:"S3_SECRET_KEY"`

	// Endpoint is the URL of a service other than Amazon's.
	Endpoint string `env:"S3_ENDPOINT"`
	// PublicEndpoint is the URL of the service in links, if clients reach the
	// service by another URL than this program.
	PublicEndpoint string `env:"S3_PUBLIC_ENDPOINT"`
	// UsePathStyle puts the name of the bucket in the path instead of the host.
	// Most services other than Amazon's require it.
	UsePathStyle bool `env:"S3_USE_PATH_STYLE" envDefault:"false"`

	// Encryption is the encryption at rest: AES256 (the default), aws:kms, or
	// none to use the bucket's setting.
	Encryption string `env:"S3_SSE" envDefault:"AES256"`
	// KMSKeyID is the key for aws:kms. If it is empty, the account's default
	// key is used.
	KMSKeyID string `env:"S3_KMS_KEY_ID"`
}

// Azure configures Azure Blob Storage. Either ConnectionString or AccountURL is
// required.
type Azure struct {
	Container        string      `env:"AZURE_CONTAINER_NAME"`
	ConnectionString secret.Text `env:"AZURE_STORAGE_CONNECTION_STRING"`
	// AccountURL is the URL for access with a token from the SDK's default
	// credential chain: https://ACCOUNT.blob.core.windows.net.
	AccountURL string `env:"AZURE_STORAGE_ACCOUNT_URL"`
}

// GCS configures Google Cloud Storage.
type GCS struct {
	Bucket string `env:"GCS_BUCKET_NAME"`
	// CredentialsFile is the path of a service account's key file. If it is
	// empty, the application default credentials are used.
	CredentialsFile string `env:"GCS_CREDENTIALS_PATH"`
	ProjectID       string `env:"GCS_PROJECT_ID"`
}

// Production reports whether AppEnv is production or staging.
func (c Config) Production() bool {
	return c.AppEnv == envProduction || c.AppEnv == envStaging
}

// schemes maps the scheme of a Go CDK URL to its backend.
var schemes = map[string]string{
	"local": backendLocal, "file": backendLocal, "mem": backendMemory,
	"s3": backendS3, "azblob": backendAzure, "gs": backendGCS,
}

// backend returns the effective backend. If URL is set, it is the backend of
// URL, or "" if this library does not contain its provider.
func (c Config) backend() string {
	if c.URL.IsZero() {
		return c.Backend
	}
	scheme, _, _ := strings.Cut(c.URL.Reveal(), "://")
	return schemes[scheme]
}
