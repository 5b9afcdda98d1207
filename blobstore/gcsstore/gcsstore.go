// Package gcsstore is the provider of Google Cloud Storage.
//
//	gs://bucket
//	gs://bucket?create=true&project_id=my-project
//
// It takes the URLs of the Go CDK's gcsblob, with these parameters: access_id,
// private_key_path, anonymous and universe_domain (not grpc and zonal), and these
// of its own:
//
//	create=true         make the bucket if it is missing, in project_id
//	project_id          the project; by default that of the credentials
//	credentials_path    the key file of a service account
//	endpoint            the address of a service other than Google's
//	public_endpoint     the address for links, if clients reach the service by another
//	stall_timeout       how long a connection may stand still, such as 30s; 1m by default
//
// Credentials are Google's application default credentials, unless
// credentials_path names others. STORAGE_EMULATOR_HOST, where it is set, names an
// emulator, which is used without credentials.
//
// # What is needed
//
// The role Storage Object User on the bucket: storage.objects.list, get, create,
// delete and update. Links are signed by the key of a service account; without
// one (on Cloud Run, GKE, Compute Engine) they are signed by IAM, for which the
// service account needs the role Service Account Token Creator on itself. The
// account that signs is access_id, or that of the credentials or the machine.
//
// # Encryption
//
// Google encrypts everything that it stores; nothing has to be asked for.
//
// # Writes
//
// Content up to 4 MiB is one request. The rest is a resumable upload in chunks
// of 8 MiB; its metadata is fixed when it begins, so that a SHA-256 which was not
// known beforehand is added to the object right after it appeared, if its CRC32C
// says that it is what was sent. One write
// holds at most 12 MiB, and 64 KiB if the content is smaller than that. What a
// write that failed had sent is invisible, and discarded by the service within a
// week.
//
// # Links
//
// Google itself enforces method, expiry (at most 7 days), content type, exact
// and greatest length and create-only, as signed headers that the client must
// send. A SHA-256 a direct upload checks on completion; a plain link with one is
// refused. The grant id is the signed parameter
// "x-blobtrail-grant", which the service's access logs show.
//
// Import it for its side effect:
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
				return nil, fmt.Errorf("gs://%s: the URL names a credentials_path, and other credentials are given: want one of them", u.Host)
			}
			o.CredentialsFile = c.CredentialsFile
		}
		return Open(ctx, o)
	}, "CredentialsFile")
}

// parse returns the options that a URL and the environment stand for.
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
	if o.AccessID == "-" { // the Go CDK's other word for anonymous
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
