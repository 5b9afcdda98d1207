// Package gcsstore is the provider of Google Cloud Storage:
//
//	gs://bucket
//	gs://bucket?create=true&project_id=my-project
//
// # Parameters
//
// The following parameters set the [Options] in parentheses:
//
//	create=true         create the bucket if it does not exist (Create)
//	project_id          project of a new bucket (ProjectID)
//	credentials_path    key file of a service account (CredentialsFile)
//	endpoint            address of another service (Endpoint)
//	public_endpoint     address in links (PublicEndpoint)
//	stall_timeout       such as 30s; 1m by default (StallTimeout)
//
// The URL also accepts these parameters of the Go CDK's gcsblob: access_id,
// private_key_path, anonymous and universe_domain. It refuses grpc and zonal.
// An unknown parameter, or a parameter given twice, is an error.
//
// # Credentials
//
// The credentials are Google's application default credentials, unless
// credentials_path is set. If STORAGE_EMULATOR_HOST is set and endpoint is not,
// it is the address of an emulator. An emulator is used without credentials,
// unless credentials_path is set. No parameter accepts a secret, because URLs
// appear in logs.
//
// The credentials need the role Storage Object User on the bucket:
// storage.objects.list, get, create, delete and update.
//
// Links are signed with the key of a service account. Without a key (on Cloud
// Run, GKE or Compute Engine), IAM signs them. The service account then needs
// the role Service Account Token Creator on itself. The signing account is
// access_id, or by default that of the credentials or of the machine.
//
// # Encryption
//
// Google encrypts all stored data without a request.
//
// # Writes
//
// One request stores content of up to 4 MiB. Larger content is a resumable
// upload in chunks of 8 MiB. The metadata of such an object is fixed at the
// beginning of the upload. If the SHA-256 was not known in advance, it is added
// to the object right after the object appears, provided that the CRC32C
// matches the sent content.
//
// A write holds at most 12 MiB in memory, or 64 KiB if the content is shorter
// than 64 KiB. The data of a failed write is invisible, and the service discards
// it within a week.
//
// # Links
//
// Google itself enforces method, expiry (at most 7 days), content type, exact
// and maximum length, and create-only, as signed headers of the client's
// request. A direct upload checks the SHA-256 on completion, and a plain link
// with a SHA-256 is refused. The access logs of the service show the grant ID,
// as the signed parameter "x-blobtrail-grant".
//
// # Import
//
// Import the package for its side effect:
//
//	import _ "github.com/blobtrail/blobtrail/blobstore/gcsstore"
package gcsstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const scheme = "gs"

func init() {
	driver.Register(scheme, func(ctx context.Context, u *url.URL, c driver.Credentials) (driver.Bucket, error) {
		o, err := parse(u, os.Getenv)
		if err != nil {
			return nil, fmt.Errorf("gs://%s: %w", u.Host, err)
		}
		if !c.IsZero() {
			if o.CredentialsFile != "" {
				return nil, fmt.Errorf("gs://%s: credentials_path and other credentials are both set: want one of them", u.Host)
			}
			o.CredentialsFile = c.CredentialsFile
		}
		return Open(ctx, o)
	}, "CredentialsFile")
}

// parse returns the options of a URL and the environment.
func parse(u *url.URL, env func(string) string) (*Options, error) {
	if err := provider.CheckURL(u, "gs://bucket", "a file or by gcsstore.Open"); err != nil {
		return nil, err
	}
	o := &Options{Bucket: u.Host}
	refused := func(v string) error {
		if on, _ := strconv.ParseBool(v); on {
			return errors.New("not supported: leave it out, or open the bucket with gcsblob and blobstore.New")
		}
		return nil
	}
	if err := provider.AllParameters(u.Query(), map[string]any{
		"create": &o.Create, "anonymous": &o.Anonymous, "access_id": &o.AccessID, "private_key_path": &o.PrivateKeyFile, "credentials_path": &o.CredentialsFile,
		"project_id": &o.ProjectID, "endpoint": &o.Endpoint, "public_endpoint": &o.PublicEndpoint, "universe_domain": &o.UniverseDomain,
		"stall_timeout": &o.StallTimeout, "grpc": refused, "zonal": refused,
	}); err != nil {
		return nil, err
	}
	if o.AccessID == "-" { // the Go CDK's other form of anonymous
		o.AccessID, o.Anonymous = "", true
	}
	if host := env("STORAGE_EMULATOR_HOST"); host != "" && o.Endpoint == "" {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		o.Endpoint, o.Anonymous = host, o.CredentialsFile == ""
	}
	return o, nil
}
