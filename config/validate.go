package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/blobtrail/blobtrail/signurl"
)

// Validate returns every [*Problem] of the configuration, joined. Outside the
// program, it examines only the files named in the configuration. It ignores
// the variables of backends that are not selected.
func (c Config) Validate() error {
	var ps problems
	c.validate(&ps)
	return ps.err()
}

const maxLinkExpiry = 7 * 24 * time.Hour // the limit of S3 and Google Cloud Storage

func (c Config) validate(ps *problems) {
	switch c.AppEnv {
	case envDevelopment, envTest, envStaging, envProduction:
	default:
		ps.add("APP_ENV", shown(c.AppEnv)+" is unknown", "development, test, staging or production")
	}
	if c.LinkExpiry < time.Second || c.LinkExpiry > maxLinkExpiry {
		ps.add("SIGNED_URL_EXPIRATION_SECONDS", fmt.Sprintf("%v is out of range", c.LinkExpiry), wantOf(reflect.TypeFor[time.Duration]()))
	}
	if c.MaxUploadSize < 0 {
		ps.add("MAX_UPLOAD_BYTES", fmt.Sprintf("%d is negative", c.MaxUploadSize), "a number of bytes, or 0 for unlimited")
	}
	c.validateStorage(ps)
	c.validateLinks(ps)
	c.validateDatabase(ps)
	c.validateProof(ps)
}

func (c Config) validateStorage(ps *problems) {
	switch c.Backend {
	case backendLocal, backendS3, backendAzure, backendGCS:
	default:
		ps.add("STORAGE_BACKEND", shown(c.Backend)+" is unknown", "local, s3, azure or gcs")
	}
	if !c.URL.IsZero() {
		c.validateURL(ps)
	}
	switch c.backend() {
	case backendLocal:
		c.validateLocal(ps)
	case backendMemory:
		if c.Production() {
			ps.add("STORAGE_URL", "with APP_ENV="+c.AppEnv+", files in memory are lost when the process ends", "a persistent backend")
		}
	case backendS3:
		c.S3.validate(ps, !c.URL.IsZero())
	case backendAzure:
		c.Azure.validate(ps, !c.URL.IsZero())
	case backendGCS:
		c.GCS.validate(ps, !c.URL.IsZero())
	}
}

func (c Config) validateURL(ps *problems) {
	const name, want = "STORAGE_URL", "a Go CDK URL such as local:///var/lib/app/files or s3://bucket?region=eu-central-1"
	u, err := url.Parse(c.URL.Reveal())
	switch {
	case err != nil || u.Scheme == "" || u.Opaque != "" || !strings.Contains(c.URL.Reveal(), "://"):
		ps.add(name, "not a valid URL", want)
	case u.User != nil:
		ps.add(name, "contains a user name or a password", "credentials in the variables of their backend, such as S3_ACCESS_KEY")
	case c.Backend != backendLocal && c.Backend != c.backend():
		ps.add(name, "conflicts with STORAGE_BACKEND", "only one of the two, or the same backend in both")
	}
}

func (c Config) validateLocal(ps *problems) {
	variable := "LOCAL_STORAGE_PATH"
	if !c.URL.IsZero() {
		variable = "STORAGE_URL"
	} else {
		switch info, err := os.Stat(c.LocalPath); {
		case c.LocalPath == "":
			ps.add(variable, "not set", "a folder, such as ./uploads")
		case strings.ContainsRune(c.LocalPath, 0):
			ps.add(variable, "contains a NUL character", "a folder, such as ./uploads")
		case err == nil && !info.IsDir():
			ps.add(variable, "the path is a file", "a folder, or a path that does not exist yet")
		}
	}
	if c.Strict && c.Production() {
		ps.add(variable, "local files are refused in strict mode with APP_ENV="+c.AppEnv,
			"STORAGE_BACKEND=s3, azure or gcs: a local folder is neither shared between machines nor replicated")
	}
}

var (
	// These are Amazon's rules. Other S3 services accept no more.
	s3Bucket = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	s3Region = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	// A container name has lowercase letters, digits and single hyphens, or is
	// one of the two special names of Azure.
	azContainer = regexp.MustCompile(`^(\$root|\$web|[a-z0-9](-?[a-z0-9]){2,62})$`)
	gcsBucket   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
	gcsProject  = regexp.MustCompile(`^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$|^[0-9]+$`)
)

func (s S3) validate(ps *problems, byURL bool) {
	if !byURL {
		switch {
		case s.Bucket == "":
			ps.add("S3_BUCKET_NAME", "not set", "the bucket's name")
		case !s3Bucket.MatchString(s.Bucket):
			ps.add("S3_BUCKET_NAME", "not a valid bucket name", "3 to 63 lowercase letters, digits, dots and hyphens")
		}
		if !s3Region.MatchString(s.Region) {
			ps.add("S3_REGION", "not a valid region", "a name such as eu-central-1")
		}
		checkEndpoint(ps, "S3_ENDPOINT", s.Endpoint)
		checkEndpoint(ps, "S3_PUBLIC_ENDPOINT", s.PublicEndpoint)
		switch s.Encryption {
		case "AES256", "aws:kms", "none":
		default:
			ps.add("S3_SSE", shown(s.Encryption)+" is unknown", "AES256, aws:kms, or none to use the bucket's setting")
		}
		if s.KMSKeyID != "" && s.Encryption != "aws:kms" {
			ps.add("S3_KMS_KEY_ID", "set without S3_SSE=aws:kms", "both, or no key")
		}
	}
	const want = "both S3_ACCESS_KEY and S3_SECRET_KEY, or neither for the default credential chain"
	switch {
	case !s.AccessKey.IsZero() && s.SecretKey.IsZero():
		ps.add("S3_SECRET_KEY", "not set, but S3_ACCESS_KEY is", want)
	case !s.SecretKey.IsZero() && s.AccessKey.IsZero():
		ps.add("S3_ACCESS_KEY", "not set, but S3_SECRET_KEY is", want)
	}
}

func (a Azure) validate(ps *problems, byURL bool) {
	if !byURL {
		switch {
		case a.Container == "":
			ps.add("AZURE_CONTAINER_NAME", "not set", "the container's name")
		case !azContainer.MatchString(a.Container) || len(a.Container) > 63:
			ps.add("AZURE_CONTAINER_NAME", "not a valid container name", "3 to 63 lowercase letters, digits and single hyphens")
		}
		switch {
		case a.AccountURL != "" && !a.ConnectionString.IsZero():
			ps.add("AZURE_STORAGE_ACCOUNT_URL", "AZURE_STORAGE_CONNECTION_STRING is also set", "only one of the two")
		case a.AccountURL != "":
			a.checkAccountURL(ps)
		case a.ConnectionString.IsZero():
			ps.add("AZURE_STORAGE_CONNECTION_STRING", "not set, and AZURE_STORAGE_ACCOUNT_URL is not set either", "one of the two")
		}
	}
	if !a.ConnectionString.IsZero() {
		if wrong := connectionStringProblem(a.ConnectionString.Reveal()); wrong != "" {
			ps.add("AZURE_STORAGE_CONNECTION_STRING", wrong, "the text that Azure shows under Access keys: DefaultEndpointsProtocol=https;AccountName=...;AccountKey=...;EndpointSuffix=core.windows.net")
		}
	}
}

func (a Azure) checkAccountURL(ps *problems) {
	checkEndpoint(ps, "AZURE_STORAGE_ACCOUNT_URL", a.AccountURL)
	if u, err := url.Parse(a.AccountURL); err == nil && !namesAccount(u) {
		ps.add("AZURE_STORAGE_ACCOUNT_URL", "does not contain an account", "a URL such as https://ACCOUNT.blob.core.windows.net")
	}
}

// connectionStringProblem returns the reason if s is invalid, or "". It quotes
// nothing of s.
func connectionStringProblem(s string) string {
	parts := make(map[string]string)
	for part := range strings.SplitSeq(s, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return "a part does not have the form Name=value"
		}
		parts[strings.ToLower(name)] = value
	}
	switch key := parts["accountkey"]; {
	case strings.EqualFold(parts["usedevelopmentstorage"], "true"):
		return ""
	case parts["sharedaccesssignature"] != "" && (parts["accountname"] != "" || parts["blobendpoint"] != ""):
		return ""
	case parts["accountname"] == "":
		return "has no AccountName"
	case key == "":
		return "has no AccountKey"
	default:
		if _, err := base64.StdEncoding.DecodeString(key); err != nil {
			return "the AccountKey is not base64"
		}
		return ""
	}
}

func (g GCS) validate(ps *problems, byURL bool) {
	if !byURL {
		switch {
		case g.Bucket == "":
			ps.add("GCS_BUCKET_NAME", "not set", "the bucket's name")
		case !gcsBucket.MatchString(g.Bucket):
			ps.add("GCS_BUCKET_NAME", "not a valid bucket name", "3 to 63 lowercase letters, digits, hyphens, underscores and dots")
		}
	}
	if g.ProjectID != "" && !gcsProject.MatchString(g.ProjectID) {
		ps.add("GCS_PROJECT_ID", "not a valid project ID", "6 to 30 lowercase letters, digits and hyphens, or the project's number")
	}
	if g.CredentialsFile != "" {
		switch info, err := os.Stat(g.CredentialsFile); {
		case err != nil:
			ps.add("GCS_CREDENTIALS_PATH", "the file was not found", "the path of a service account's JSON key, or nothing for the application default credentials")
		case info.IsDir():
			ps.add("GCS_CREDENTIALS_PATH", "a folder, not a file", "the path of a service account's JSON key")
		}
	}
}

// checkEndpoint accepts an empty value or a plain URL.
func checkEndpoint(ps *problems, name, value string) {
	const want = "an absolute URL such as https://storage.example.com"
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		ps.add(name, "not an http or https URL", want)
	case u.User != nil:
		ps.add(name, "contains a user name or a password", want)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(value, "#"):
		ps.add(name, "has a query or a fragment", want)
	}
}

func (c Config) validateLinks(ps *problems) {
	if _, err := signurl.New(c.LinkBaseURL, []signurl.Key{signurl.GenerateKey()}, nil); err != nil {
		ps.add("LINK_BASE_URL", strings.TrimPrefix(err.Error(), "signurl: base URL: "), "the public URL of the link handler, such as https://files.example.com/files/")
	} else if c.Production() && onlyHere(c.LinkBaseURL) {
		ps.add("LINK_BASE_URL", "with APP_ENV="+c.AppEnv+", the host is the client's own machine", "the public URL of the link handler")
	}
	switch {
	case !c.LinkSigningKeys.IsZero():
		if _, err := signurl.ParseKeys(c.LinkSigningKeys.Reveal()); err != nil {
			ps.add("LINK_SIGNING_KEYS", strings.TrimPrefix(err.Error(), "signurl: "), "id:secret with 32 random bytes in base64url; separate several keys with commas")
		}
	case c.Production():
		ps.add("LINK_SIGNING_KEYS", "not set, and with APP_ENV="+c.AppEnv+", no key is generated", "id:secret with 32 random bytes in base64url, the same in every process")
	}
}

// onlyHere reports whether the host of a URL is the local machine.
func onlyHere(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func (c Config) validateDatabase(ps *problems) {
	const name = "AUDIT_DATABASE_URL"
	const want = "sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or mysql://USER:PASSWORD@HOST/DATABASE"
	dsn := c.AuditDatabaseURL.Reveal()
	scheme, rest, _ := strings.Cut(dsn, ":")
	switch {
	case dsn == "":
		ps.add(name, "not set", want)
	case !slices.Contains([]string{"sqlite", "postgres", "postgresql", "mysql", "mariadb"}, scheme):
		ps.add(name, "unknown scheme", want)
	case strings.Trim(rest, "/") == "":
		ps.add(name, "does not contain a database", want)
	case strings.HasPrefix(scheme, "postgres") || strings.HasPrefix(rest, "//") && scheme != "sqlite":
		if u, err := url.Parse(dsn); err != nil || u.Opaque != "" {
			ps.add(name, "not a valid URL", want+", with special characters of the password percent-encoded")
		}
	case c.Production() && scheme == "sqlite" && strings.Contains(rest, ":memory:"):
		ps.add(name, "with APP_ENV="+c.AppEnv+", a trail in memory is lost when the process ends", want)
	}
}

func (c Config) validateProof(ps *problems) {
	// Drop the errors, because they may quote a key.
	var signer note.Signer
	if !c.AuditDeploymentKey.IsZero() {
		var err error
		if signer, err = note.NewSigner(c.AuditDeploymentKey.Reveal()); err != nil {
			ps.add("AUDIT_DEPLOYMENT_KEY", "not a valid signing key", "the first result of sqlaudit.GenerateDeploymentKey, beginning with PRIVATE+KEY+")
		}
		if c.AuditVerifierKeys == "" {
			ps.add("AUDIT_VERIFIER_KEYS", "not set, but AUDIT_DEPLOYMENT_KEY is", "the verifier key generated with it")
		}
	}
	vouched := signer == nil
	for i, key := range c.verifierKeys() {
		const want = "the second result of sqlaudit.GenerateDeploymentKey; separate several keys with commas"
		if strings.HasPrefix(key, "PRIVATE+KEY+") {
			ps.add("AUDIT_VERIFIER_KEYS", "contains a signing key, which is a secret", want)
		} else if v, err := note.NewVerifier(key); err != nil {
			ps.add("AUDIT_VERIFIER_KEYS", fmt.Sprintf("key %d is invalid", i+1), want)
		} else if signer != nil && v.Name() == signer.Name() && v.KeyHash() == signer.KeyHash() {
			vouched = true
		}
	}
	if !vouched { // otherwise, every verification would report entries of this process as forged
		ps.add("AUDIT_VERIFIER_KEYS", "the verifier key of AUDIT_DEPLOYMENT_KEY is missing", "this key and all past keys")
	}
	if c.AuditCheckpointsURL != "" {
		const want = "a Go CDK URL such as s3://checkpoints?region=eu-central-1"
		switch u, err := url.Parse(c.AuditCheckpointsURL); {
		case err != nil || u.Scheme == "" || u.Opaque != "" || !strings.Contains(c.AuditCheckpointsURL, "://"):
			ps.add("AUDIT_CHECKPOINTS_URL", "not a valid URL", want)
		case u.User != nil:
			ps.add("AUDIT_CHECKPOINTS_URL", "contains a user name or a password", want)
		}
	}
}

func (c Config) verifierKeys() []string {
	return strings.FieldsFunc(c.AuditVerifierKeys, func(r rune) bool { return r == ',' || r == ' ' })
}
