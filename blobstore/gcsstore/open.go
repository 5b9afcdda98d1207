package gcsstore

// This file contains the options and the client, and checks a bucket when it is
// opened.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	"gocloud.dev/blob/gcsblob"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/secret"
)

// Options configures [Open]. Only Bucket is required. Set at most one of
// CredentialsFile, CredentialsJSON, TokenSource and Anonymous. If none is set,
// Google's application default credentials are used. Open refuses contradictory
// options.
type Options struct {
	// Bucket is the name of the bucket.
	Bucket string
	// ProjectID is the project for a bucket created by Create. Empty means the
	// project of the credentials.
	ProjectID string

	// CredentialsFile is the path of a service account's key file. Open refuses
	// other kinds of credentials files.
	CredentialsFile string
	// CredentialsJSON is the content of a service account's key file.
	CredentialsJSON secret.Text
	// TokenSource provides the tokens of all requests.
	TokenSource oauth2.TokenSource
	// Anonymous disables credentials. An anonymous client cannot sign links.
	Anonymous bool

	// AccessID is the service account that signs links. Empty means the account
	// of the credentials, or of the machine.
	AccessID string
	// PrivateKeyFile is the path of the service account's private key, as PEM
	// or as a key file. Empty means the key of the credentials. If they have no
	// key, IAM signs.
	PrivateKeyFile string
	// IAMEndpoint is the address of the IAM service that signs. Empty means
	// https://iamcredentials.googleapis.com.
	IAMEndpoint string

	// Endpoint is the address of a service other than Google's, without a path.
	// Empty means Google's.
	Endpoint string
	// PublicEndpoint is the address in links, if clients use another address
	// than the program. Empty means Endpoint.
	PublicEndpoint string
	// UniverseDomain is the domain of a sovereign cloud. Empty means
	// googleapis.com.
	UniverseDomain string

	// Create creates the bucket if it does not exist. If false, Open fails for
	// a missing bucket.
	Create bool
	// StallTimeout is the longest time without progress before a request fails.
	// It does not limit the duration of an active transfer. Zero means 1 minute.
	StallTimeout time.Duration
	// Transport replaces the HTTP transport, for example for a proxy or private
	// certificates. It has its own timeouts, so StallTimeout must be 0. Nil
	// means the default transport.
	Transport http.RoundTripper
}

// bucket extends gcsblob of the Go CDK by the missing guarantees.
type bucket struct {
	driver.Bucket
	client *storage.Client
	handle *storage.BucketHandle
	signer *linkSigner
	made   bool             // created by Open
	there  cloudhttp.Shared // checks whether the bucket exists

	closeTransport func()
}

func (b *bucket) closeClient() error {
	defer b.closeTransport()
	return b.client.Close()
}

// Close implements [driver.Bucket].
func (b *bucket) Close() error { return errors.Join(b.Bucket.Close(), b.closeClient()) }

// Open opens a bucket. It checks that the bucket exists and that the
// credentials permit listing it. The check takes at most 5 seconds. The caller
// closes the bucket.
func Open(ctx context.Context, o *Options) (driver.Bucket, error) {
	if o == nil || o.Bucket == "" {
		return nil, errors.New("gcs: no bucket given: want gs://bucket or Options.Bucket")
	}
	openCtx, cancel := context.WithTimeout(ctx, cloud.OpenTimeout)
	defer cancel()
	// The client uses its context for tokens, also after Open.
	b, err := newBucket(context.WithoutCancel(ctx), openCtx, *o)
	if err != nil {
		return nil, fmt.Errorf("gcs bucket %q: %w", o.Bucket, err)
	}
	if err := b.check(openCtx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("gcs bucket %q: %w", o.Bucket, err), b.Close())
	}
	return b, nil
}

// check returns an error that names an option which would be ignored.
func (o *Options) check() error {
	if err := provider.AtMostOne(
		provider.Option{Name: "CredentialsFile", Set: o.CredentialsFile != ""}, provider.Option{Name: "CredentialsJSON", Set: !o.CredentialsJSON.IsZero()},
		provider.Option{Name: "TokenSource", Set: o.TokenSource != nil}, provider.Option{Name: "Anonymous", Set: o.Anonymous},
	); err != nil {
		return err
	}
	return provider.CheckTransport(o.Transport, o.StallTimeout)
}

func newBucket(ctx, openCtx context.Context, o Options) (*bucket, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	for _, e := range []string{o.Endpoint, o.PublicEndpoint, o.IAMEndpoint} {
		if err := checkEndpoint(e); err != nil {
			return nil, err
		}
	}
	transport, closeTransport := cloudhttp.Or(o.Transport, o.StallTimeout)
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: transport})
	creds, err := credentials(ctx, &o)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: asStored{transport}}
	if creds != nil {
		client.Transport = asStored{&oauth2.Transport{Base: transport, Source: creds.TokenSource}}
		if o.ProjectID == "" {
			o.ProjectID = creds.ProjectID
		}
	}
	opts := []option.ClientOption{
		option.WithHTTPClient(client), storage.WithDisabledClientMetrics(),
		// The XML API sends metadata as headers, which do not support all
		// characters.
		storage.WithJSONReads(),
	}
	if o.Endpoint != "" {
		opts = append(opts, option.WithEndpoint(strings.TrimSuffix(o.Endpoint, "/")+"/storage/v1/"))
	}
	if o.UniverseDomain != "" {
		opts = append(opts, option.WithUniverseDomain(o.UniverseDomain))
	}
	b := &bucket{}
	if b.client, err = storage.NewClient(ctx, opts...); err != nil {
		return nil, err
	}
	// By default, the library retries until the context ends.
	b.client.SetRetry(storage.WithMaxAttempts(cloud.Attempts), storage.WithBackoff(gax.Backoff{Initial: cloud.RetryDelay, Max: cloud.MaxRetryDelay, Multiplier: 2}))
	b.handle = b.client.Bucket(o.Bucket)
	b.closeTransport = closeTransport
	if b.signer, err = newLinkSigner(openCtx, &o, creds, client); err != nil {
		return nil, errors.Join(err, b.closeClient())
	}
	plain, err := gcsblob.OpenBucket(ctx, nil, o.Bucket, &gcsblob.Options{Client: b.client})
	if err != nil {
		return nil, errors.Join(err, b.closeClient())
	}
	info := driver.Info{Backend: "gcs", Bucket: cloud.Name(o.Bucket, o.Endpoint), Capabilities: driver.Capabilities{
		ExactCreate: true, ExactDelete: true, AtomicReplace: true, Durable: true, KeepsSHA256: true, Links: b.signer.links(),
	}, Needs: map[string]string{
		"write": "storage.objects.create (role Storage Object User)", "read": "storage.objects.get (role Storage Object User)",
		"list": "storage.objects.list (role Storage Object User)", "delete": "storage.objects.delete (role Storage Object User)",
		"sign": "iam.serviceAccounts.signBlob on the account that signs (role Service Account Token Creator)",
	}}
	b.Bucket = driver.FromBlob(plain, info)
	return b, nil
}

func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := cloud.Endpoint("endpoint", endpoint, "https://storage.internal:4443")
	if err == nil && strings.Trim(u.Path, "/") != "" {
		err = errors.New("the endpoint has a path: want only an address such as https://storage.internal:4443")
	}
	return err
}

// credentials returns the credentials to use, or nil for none.
func credentials(ctx context.Context, o *Options) (*google.Credentials, error) {
	if o.Anonymous {
		return nil, nil
	}
	const scope = storage.ScopeFullControl
	key := []byte(o.CredentialsJSON.Reveal())
	if o.CredentialsFile != "" {
		var err error
		if key, err = os.ReadFile(o.CredentialsFile); err != nil {
			return nil, fmt.Errorf("reading the credentials file: %w", err)
		}
	}
	if len(key) > 0 || o.CredentialsFile != "" {
		// Accept only the key of a service account. For other kinds, the
		// library fetches addresses or runs programs named in the file.
		creds, err := google.CredentialsFromJSONWithType(ctx, key, google.ServiceAccount, scope, cloudPlatform)
		if err != nil {
			return nil, errors.New("invalid credentials: want the key file of a service account")
		}
		return creds, nil
	}
	if o.TokenSource != nil {
		return &google.Credentials{TokenSource: o.TokenSource}, nil
	}
	creds, err := google.FindDefaultCredentials(ctx, scope, cloudPlatform)
	if err != nil {
		return nil, fmt.Errorf("no credentials: set GOOGLE_APPLICATION_CREDENTIALS or credentials_path, or run on a machine with an identity: %w", err)
	}
	return creds, nil
}

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform" // for signing by IAM

// keyFile contains the needed fields of a service account's key file.
type keyFile struct {
	ClientEmail string `json:"client_email"`
	PrivateKey  string `json:"private_key"`
}

func parseKeyFile(data []byte) (k keyFile) {
	_ = json.Unmarshal(data, &k) // other content leaves k empty
	return k
}

// machineAccount returns the service account of this machine, or "".
func machineAccount(ctx context.Context) string {
	if !metadata.OnGCEWithContext(ctx) {
		return ""
	}
	email, err := metadata.EmailWithContext(ctx, "default")
	if err != nil {
		return ""
	}
	return email
}

// check determines whether the bucket can be used. If Options.Create is set, it
// creates a missing bucket.
func (b *bucket) check(ctx context.Context, o *Options) error {
	err := b.list(ctx)
	if errors.Is(err, storage.ErrBucketNotExist) && o.Create {
		project := o.ProjectID
		if project == "" {
			project = b.signer.project
		}
		if project == "" {
			return errors.New("the bucket does not exist and cannot be created without a project: set project_id")
		}
		err := b.handle.Create(ctx, project, nil)
		b.made = err == nil
		if err != nil && status(err) != http.StatusConflict {
			return fmt.Errorf("the bucket does not exist and cannot be created (storage.buckets.create): %w", b.mapError(err))
		}
		return b.explain(b.list(ctx))
	}
	return b.explain(err)
}

// explain returns the error of a bucket that cannot be listed.
func (b *bucket) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrBucketNotExist):
		return cloud.ErrMissing
	case status(err) == http.StatusForbidden:
		return fmt.Errorf("the credentials do not permit listing the bucket: they need storage.objects.list (role Storage Object User): %w", b.mapError(err))
	}
	mapped := b.mapError(err)
	return cloud.Explain(err, mapped, errors.Is(mapped, fs.ErrPermission), ": check endpoint and network: ")
}

// Fresh implements [provider.Fresh].
func (b *bucket) Fresh() (bool, string) { return b.made, cloud.MakeByHand }

// Undo implements [provider.Fresh]. The service deletes only empty buckets.
func (b *bucket) Undo(ctx context.Context) error {
	if !b.made {
		return nil
	}
	return b.mapError(b.handle.Delete(ctx))
}

func (b *bucket) list(ctx context.Context) error {
	it := b.handle.Objects(ctx, nil)
	it.PageInfo().MaxSize = 1
	_, err := it.Next()
	if errors.Is(err, iterator.Done) {
		return nil
	}
	return err
}
