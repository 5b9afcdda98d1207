package s3store

// This file contains the options and the client, and checks a bucket when it is
// opened.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob/s3blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/secret"
)

// Options configures [Open]. Only Bucket is required. Open refuses
// contradictory options.
type Options struct {
	// Bucket is the name of the bucket.
	Bucket string
	// Region is the region of the bucket. Empty means the region of the AWS
	// configuration, or us-east-1.
	Region string

	// AccessKey and SecretKey are explicit credentials. Set both or neither. If
	// neither is set, the credentials of Config or of the AWS default chain are
	// used. SessionToken is required for temporary credentials and is set only
	// with both keys.
	AccessKey, SecretKey, SessionToken secret.Text

	// Endpoint is the address of a service other than Amazon S3, such as
	// https://minio.internal:9000. Empty means Amazon S3, or the endpoint of
	// Config.
	Endpoint string
	// PublicEndpoint is the address in links, if clients use another address
	// than the program. Empty means Endpoint.
	PublicEndpoint string
	// UsePathStyle puts the bucket name into the path of a URL instead of the
	// host. Most services other than Amazon S3 require it. The default is
	// false.
	UsePathStyle bool

	// Encryption is the server-side encryption to request: "AES256", "aws:kms",
	// "aws:kms:dsse", or "none". Empty means AES256.
	Encryption string
	// KMSKeyID is the ID of the key for aws:kms and aws:kms:dsse. Empty means
	// the default key of the account. Open refuses it with other encryptions.
	KMSKeyID string

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
	// StaleAfter is the time without a new part after which Sweep considers the
	// writer of a multipart upload dead. Zero means 45 seconds. A live writer
	// sends something at least every third of StaleAfter, so use the same value
	// in all processes.
	StaleAfter time.Duration

	// Config is the AWS configuration to use. Region and the explicit
	// credentials override it. Nil means the default configuration.
	Config *aws.Config

	accelerate, disableHTTPS bool
}

const defaultStaleAfter = 45 * time.Second

// bucket extends s3blob of the Go CDK by the missing guarantees.
type bucket struct {
	driver.Bucket
	client *s3.Client
	name   string
	opts   Options
	sse    types.ServerSideEncryption // "" requests no encryption
	kmsKey *string
	sum    bool // send checksums in addition to the signed hash
	signer *linkSigner
	parts  provider.Buffers
	there  cloudhttp.Shared // checks whether the bucket exists
	made   bool             // created by Open
	exact  atomic.Int32     // whether the service supports create-only writes: unknown, holds or ignored
	later  struct {
		sync.Mutex
		timers map[string]*time.Timer // by key
		closed bool
	}
	closeTransport func()
}

// Close implements [driver.Bucket].
func (b *bucket) Close() error {
	err := b.Bucket.Close()
	b.endLater()
	b.closeTransport()
	return err
}

// Open opens a bucket. It checks that the bucket exists and that the
// credentials permit listing it. The check takes at most 5 seconds. The caller
// closes the bucket.
func Open(ctx context.Context, o *Options) (driver.Bucket, error) {
	if o == nil || o.Bucket == "" {
		return nil, errors.New("s3: no bucket given: want s3://bucket or Options.Bucket")
	}
	b, err := newBucket(ctx, *o)
	if err != nil {
		return nil, fmt.Errorf("s3 bucket %q: %w", o.Bucket, err)
	}
	ctx, cancel := context.WithTimeout(ctx, cloud.OpenTimeout)
	defer cancel()
	if err := b.check(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("s3 bucket %q: %w", o.Bucket, err), b.Close())
	}
	return b, nil
}

// check returns an error that names a wrong option, or one that would be
// ignored.
func (o *Options) check() error {
	switch {
	case !o.SessionToken.IsZero() && o.AccessKey.IsZero():
		return errors.New("Options.SessionToken is set without AccessKey and SecretKey: set all three")
	case o.StaleAfter < 0:
		return fmt.Errorf("Options.StaleAfter is %v: want a positive duration, or 0 for %v", o.StaleAfter, defaultStaleAfter)
	}
	return provider.CheckTransport(o.Transport, o.StallTimeout)
}

func newBucket(ctx context.Context, o Options) (*bucket, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	sse, err := encryption(o.Encryption, o.KMSKeyID)
	if err != nil {
		return nil, err
	}
	for _, e := range []string{o.Endpoint, o.PublicEndpoint} {
		if err := checkEndpoint(e); err != nil {
			return nil, err
		}
	}
	if o.StaleAfter == 0 {
		o.StaleAfter = defaultStaleAfter
	}
	transport, closeTransport := cloudhttp.Or(o.Transport, o.StallTimeout)
	cfg, err := awsConfig(ctx, &o, &http.Client{Transport: transport})
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.RetryMaxAttempts = cloud.Attempts
		so.UsePathStyle = o.UsePathStyle
		so.UseAccelerate = o.accelerate
		so.EndpointOptions.DisableHTTPS = o.disableHTTPS
		so.DisableLogOutputChecksumValidationSkipped = true
		if o.Endpoint != "" {
			so.BaseEndpoint = aws.String(o.Endpoint)
		}
	})
	b := &bucket{client: client, name: o.Bucket, opts: o, sse: sse, parts: provider.Buffers{Size: partBytes}}
	b.sum = cfg.RequestChecksumCalculation != aws.RequestChecksumCalculationWhenRequired
	if o.KMSKeyID != "" {
		b.kmsKey = aws.String(o.KMSKeyID)
	}
	plain, err := s3blob.OpenBucket(ctx, client, o.Bucket, &s3blob.Options{
		EncryptionType: sse, KMSEncryptionID: o.KMSKeyID, RequestChecksumCalculation: cfg.RequestChecksumCalculation,
	})
	if err != nil {
		return nil, err
	}
	b.closeTransport = closeTransport
	if b.signer, err = newLinkSigner(ctx, client, &o); err != nil {
		return nil, err
	}
	if amazon(client) {
		b.exact.Store(holds)
	}
	info := driver.Info{Backend: "s3", Bucket: cloud.Name(o.Bucket, o.Endpoint), Capabilities: driver.Capabilities{
		AtomicReplace: true, Durable: true, Links: b.signer.links(),
	}}
	info.Needs = map[string]string{
		"write": "s3:PutObject on the bucket's objects", "read": "s3:GetObject on the bucket's objects",
		"list": "s3:ListBucket on the bucket", "delete": "s3:DeleteObject on the bucket's objects",
		"sweep": "s3:ListBucketMultipartUploads on the bucket, and s3:ListMultipartUploadParts and s3:AbortMultipartUpload on its objects",
	}
	if sse == types.ServerSideEncryptionAwsKms || sse == types.ServerSideEncryptionAwsKmsDsse {
		info.Needs["write"] += ", and kms:GenerateDataKey and kms:Decrypt on the key"
		info.Needs["read"] += ", and kms:Decrypt on the key"
	}
	b.Bucket = driver.FromBlob(plain, info)
	return b, nil
}

func encryption(name, kmsKey string) (types.ServerSideEncryption, error) {
	sse := types.ServerSideEncryptionAes256
	if name == "none" {
		sse = ""
	} else if name != "" {
		names := sse.Values()
		i := slices.IndexFunc(names, func(v types.ServerSideEncryption) bool { return strings.EqualFold(string(v), name) })
		if i < 0 {
			return "", fmt.Errorf("encryption %q: want AES256, aws:kms, aws:kms:dsse or none", name)
		}
		sse = names[i]
	}
	if kmsKey != "" && sse != types.ServerSideEncryptionAwsKms && sse != types.ServerSideEncryptionAwsKmsDsse {
		return "", fmt.Errorf("a KMS key is set, but the encryption is %q: want aws:kms or aws:kms:dsse", name)
	}
	return sse, nil
}

func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	_, err := cloud.Endpoint("endpoint", endpoint, "https://minio.internal:9000")
	return err
}

func awsConfig(ctx context.Context, o *Options, client *http.Client) (aws.Config, error) {
	var cfg aws.Config
	if o.Config != nil {
		cfg = o.Config.Copy()
	} else {
		var load []func(*config.LoadOptions) error
		if o.Region != "" {
			load = append(load, config.WithRegion(o.Region))
		}
		if !o.AccessKey.IsZero() {
			load = append(load, config.WithCredentialsProvider(aws.AnonymousCredentials{})) // replaced below
		}
		var err error
		if cfg, err = config.LoadDefaultConfig(ctx, load...); err != nil {
			return cfg, err
		}
	}
	if o.Region != "" {
		cfg.Region = o.Region
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	switch {
	case o.AccessKey.IsZero() != o.SecretKey.IsZero():
		return cfg, errors.New("incomplete credentials: set both access key and secret key, or neither to use the default credentials")
	case !o.AccessKey.IsZero():
		// Use a function, so that printing the client does not reveal the
		// credentials. Static credentials need no cache.
		cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: o.AccessKey.Reveal(), SecretAccessKey: o.SecretKey.Reveal(), SessionToken: o.SessionToken.Reveal(), Source: "s3store.Options",
			}, nil
		})
	}
	cfg.HTTPClient = client
	return cfg, nil
}

// check determines whether the bucket can be used. If Options.Create is set, it
// creates a missing bucket. It lists the bucket instead of sending HEAD,
// because a response to HEAD cannot contain the reason of a refusal.
func (b *bucket) check(ctx context.Context) error {
	err := b.list(ctx)
	if code(err) == "NoSuchBucket" && b.opts.Create {
		if err := b.create(ctx); err != nil {
			return fmt.Errorf("the bucket does not exist and cannot be created (s3:CreateBucket): %w", b.mapError(err))
		}
		b.made = true
		err = b.list(ctx)
	}
	switch code(err) {
	case "":
	case "NoSuchBucket":
		return cloud.ErrMissing
	case "AccessDenied", "Forbidden":
		return fmt.Errorf("the credentials do not permit listing the bucket: they need s3:ListBucket on it: %w", b.mapError(err))
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "InvalidSecurity", "XAdminUserNotFound":
		return cloud.Explain(err, b.mapError(err), true, "")
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return fmt.Errorf("the bucket is not in the region %q: set region: %w", b.client.Options().Region, err)
	}
	if err == nil {
		return nil
	}
	return cloud.Explain(err, b.mapError(err), false, ": check endpoint and network: ")
}

// Fresh implements [provider.Fresh].
func (b *bucket) Fresh() (bool, string) { return b.made, cloud.MakeByHand }

// Undo implements [provider.Fresh]. The service deletes only empty buckets.
func (b *bucket) Undo(ctx context.Context) error {
	if !b.made {
		return nil
	}
	_, err := b.client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &b.name})
	return b.mapError(err)
}

func (b *bucket) list(ctx context.Context) error {
	_, err := b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.name, MaxKeys: aws.Int32(1)})
	return err
}

func (b *bucket) create(ctx context.Context) error {
	in := &s3.CreateBucketInput{Bucket: &b.name}
	// The request must not name this region; it must name every other region.
	if region := b.client.Options().Region; region != "us-east-1" && b.opts.Endpoint == "" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
	}
	_, err := b.client.CreateBucket(ctx, in)
	switch code(err) {
	case "BucketAlreadyOwnedByYou":
		return nil // another process created it first
	case "BucketAlreadyExists":
		return errors.New("another account uses this name")
	}
	return err
}
