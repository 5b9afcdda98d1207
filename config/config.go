package config

import (
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/secret"
)

// The values of Config.Backend.
const (
	backendLocal  = "local"
	backendS3     = "s3"
	backendAzure  = "azure"
	backendGCS    = "gcs"
	backendMemory = "mem" // by STORAGE_URL=mem:// only
)

// The values of Config.AppEnv.
const (
	envDevelopment = "development"
	envTest        = "test"
	envStaging     = "staging"
	envProduction  = "production"
)

// Config is the configuration that the environment describes. It is a plain value:
// a program may change it between [Load] and blobtrail.Open, which validates it
// again. The defaults named here are those of [Load]. An empty variable counts as
// unset.
type Config struct {
	// AppEnv is where the program runs: development (the default), test, staging
	// or production. Staging is treated as production, so that what fails there
	// fails before.
	AppEnv string `env:"APP_ENV" envDefault:"development"`

	// Backend is where the files are: local (the default), s3, azure or gcs.
	Backend string `env:"STORAGE_BACKEND" envDefault:"local"`

	// URL, if set, is a Go CDK URL that says where the files are, in place of
	// Backend and of the names, places and options of its backend. Credentials
	// stay in their own variables.
	URL secret.Text `env:"STORAGE_URL"`

	// LocalPath is the folder of backend local; blobtrail.Open makes it if it is missing.
	// A relative one begins at the working directory. Default: ./uploads.
	LocalPath string `env:"LOCAL_STORAGE_PATH" envDefault:"./uploads"`

	S3    S3
	Azure Azure
	GCS   GCS

	// LinkExpiry is how long a link holds if it does not say: a second to 7
	// days. The variable counts whole seconds. Default: an hour.
	LinkExpiry time.Duration `env:"SIGNED_URL_EXPIRATION_SECONDS" envDefault:"3600"`

	// LinkBaseURL is where the program mounts its handler of links, as clients
	// reach it. Default: http://localhost:8080/links/.
	LinkBaseURL string `env:"LINK_BASE_URL" envDefault:"http://localhost:8080/links/"`

	// LinkSigningKeys sign the links that the program's own handler serves: see
	// signurl.ParseKeys. The first signs, all of them verify. Default: a key that
	// ends with the process, see blobtrail.Open; required in production and staging.
	// Neither depends on the backend.
	LinkSigningKeys secret.Text `env:"LINK_SIGNING_KEYS"`

	// MaxUploadSize limits every upload, in bytes. 0, the default: no limit.
	MaxUploadSize int64 `env:"MAX_UPLOAD_BYTES" envDefault:"0"`

	// AuditDatabaseURL is the database of the trail: see sqlaudit.Open. Default:
	// sqlite:blobtrail.db.
	AuditDatabaseURL secret.Text `env:"AUDIT_DATABASE_URL" envDefault:"sqlite:blobtrail.db"`

	// AuditDeploymentKey vouches for the processes that write the trail, the same
	// in each of them: see sqlaudit.GenerateDeploymentKey. Default: none, so that each
	// vouches for itself.
	AuditDeploymentKey secret.Text `env:"AUDIT_DEPLOYMENT_KEY"`

	// AuditVerifierKeys are the deployment's verifier keys, present and past,
	// separated by commas; see blobtrail.App.Verify. Required with
	// AuditDeploymentKey.
	AuditVerifierKeys string `env:"AUDIT_VERIFIER_KEYS"`

	// AuditCheckpointsURL is the Go CDK URL of the bucket that the trail's
	// checkpoints are published to, which should be somebody else's than the
	// database. On the backend of the files the same credentials are used, on
	// another one those of its service's own environment. Default: none, so that
	// the end of the trail can be cut off unseen.
	AuditCheckpointsURL string `env:"AUDIT_CHECKPOINTS_URL"`

	// Strict turns into a problem what is otherwise a warning: local files in
	// production. It is the program's to set, not the environment's.
	Strict bool `env:"-"`

	// Unknown are the names of set variables that Load does not read but that begin
	// as those of package config do, or differ from one in a letter or two, sorted.
	// blobtrail.Open logs them. A program that reads some of them removes those.
	Unknown []string `env:"-"`
}

// S3 is Amazon S3, or a service that speaks its protocol.
type S3 struct {
	Bucket string `env:"S3_BUCKET_NAME"`
	Region string `env:"S3_REGION" envDefault:"us-east-1"`

	// Both keys, or neither: then the SDK's default chain finds credentials.
	AccessKey secret.Text `env:"S3_ACCESS_KEY"`
	SecretKey secret.Text `env:"S3_SECRET_KEY"`

	// Endpoint is the service's URL, if it is not Amazon's.
	Endpoint string `env:"S3_ENDPOINT"`
	// PublicEndpoint is what links name instead, if clients reach the service by
	// another URL than this program.
	PublicEndpoint string `env:"S3_PUBLIC_ENDPOINT"`
	// UsePathStyle puts the bucket's name into the path rather than the host, as
	// most services other than Amazon's need it.
	UsePathStyle bool `env:"S3_USE_PATH_STYLE" envDefault:"false"`

	// Encryption is the encryption at rest: AES256 (the default), aws:kms, or none
	// to leave it to the bucket.
	Encryption string `env:"S3_SSE" envDefault:"AES256"`
	// KMSKeyID is the key for aws:kms; empty: the account's own.
	KMSKeyID string `env:"S3_KMS_KEY_ID"`
}

// Azure is Azure Blob Storage. Either ConnectionString or AccountURL is needed.
type Azure struct {
	Container        string      `env:"AZURE_CONTAINER_NAME"`
	ConnectionString secret.Text `env:"AZURE_STORAGE_CONNECTION_STRING"`
	// AccountURL is for access by a token, which the SDK's default chain finds:
	// https://ACCOUNT.blob.core.windows.net.
	AccountURL string `env:"AZURE_STORAGE_ACCOUNT_URL"`
}

// GCS is Google Cloud Storage.
type GCS struct {
	Bucket string `env:"GCS_BUCKET_NAME"`
	// CredentialsFile is the path of a service account's key file. Empty: the
	// application default credentials.
	CredentialsFile string `env:"GCS_CREDENTIALS_PATH"`
	ProjectID       string `env:"GCS_PROJECT_ID"`
}

// Production reports whether AppEnv is production or staging.
func (c Config) Production() bool {
	return c.AppEnv == envProduction || c.AppEnv == envStaging
}

// schemes tell the backend of a Go CDK URL.
var schemes = map[string]string{
	"local": backendLocal, "file": backendLocal, "mem": backendMemory,
	"s3": backendS3, "azblob": backendAzure, "gs": backendGCS,
}

// backend is the one in effect: that of URL if it is set, which is "" for
// providers that this library does not know.
func (c Config) backend() string {
	if c.URL.IsZero() {
		return c.Backend
	}
	scheme, _, _ := strings.Cut(c.URL.Reveal(), "://")
	return schemes[scheme]
}
