package config

// This file implements the Go CDK URL of each backend. The URL contains no
// credentials, so it may be printed. Credentials reach the provider separately.

import (
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// StorageURL returns the Go CDK URL for blobstore.Open. If URL is set,
// StorageURL returns it. Otherwise, it builds the URL from the variables of the
// backend, without secrets. The configuration must be valid.
func (c Config) StorageURL() (string, error) {
	if !c.URL.IsZero() {
		return c.URL.Reveal(), nil
	}
	switch c.Backend {
	case backendLocal:
		return localURL(c.LocalPath), nil
	case backendS3:
		return c.S3.storageURL(), nil
	case backendAzure:
		return c.Azure.storageURL(), nil
	case backendGCS:
		return c.GCS.storageURL(), nil
	}
	return "", &Problem{"STORAGE_BACKEND", shown(c.Backend) + " is unknown", "local, s3, azure or gcs"}
}

// localURL preserves a relative path: local://./uploads.
func localURL(path string) string {
	u := url.URL{Scheme: "local", Path: filepath.ToSlash(path), RawQuery: "create=true"}
	if !strings.HasPrefix(u.Path, "/") {
		u.Host, u.Path = ".", "/"+strings.TrimPrefix(u.Path, "./")
	}
	return u.String()
}

func (s S3) storageURL() string {
	q := url.Values{}
	q.Set("region", s.Region)
	if s.Endpoint != "" {
		q.Set("endpoint", s.Endpoint)
	}
	if s.PublicEndpoint != "" {
		q.Set("public_endpoint", s.PublicEndpoint)
	}
	if s.UsePathStyle {
		q.Set("use_path_style", strconv.FormatBool(true))
	}
	q.Set("sse", s.Encryption) // even for none: by default, the provider encrypts
	if s.KMSKeyID != "" {
		q.Set("kms_key_id", s.KMSKeyID)
	}
	return (&url.URL{Scheme: "s3", Host: s.Bucket, RawQuery: q.Encode()}).String()
}

func (a Azure) storageURL() string {
	q := url.Values{}
	q.Set("create", "true")
	if a.AccountURL != "" {
		q.Set("account_url", a.AccountURL)
	}
	return (&url.URL{Scheme: "azblob", Host: a.Container, RawQuery: q.Encode()}).String()
}

func (g GCS) storageURL() string {
	q := url.Values{}
	if g.CredentialsFile != "" {
		q.Set("credentials_path", g.CredentialsFile)
	}
	if g.ProjectID != "" {
		q.Set("project_id", g.ProjectID)
	}
	return (&url.URL{Scheme: "gs", Host: g.Bucket, RawQuery: q.Encode()}).String()
}

// namesAccount reports whether a URL has the form https://ACCOUNT.domain or,
// for emulators, http://host/ACCOUNT.
func namesAccount(u *url.URL) bool {
	if path := strings.Trim(u.Path, "/"); path != "" {
		return !strings.Contains(path, "/")
	}
	account, domain, _ := strings.Cut(u.Host, ".")
	return account != "" && strings.Contains(domain, ".")
}
