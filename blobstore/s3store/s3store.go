// Package s3store is the provider of Amazon S3 and of compatible services, such
// as MinIO:
//
//	s3://bucket?region=eu-central-1
//	s3://bucket?region=us-east-1&endpoint=https://minio.internal:9000&use_path_style=true
//
// # Parameters
//
// The following parameters set the [Options] in parentheses. Giving one of them
// twice is an error.
//
//	create=true        create the bucket if it does not exist (Create)
//	endpoint           address of the service (Endpoint)
//	public_endpoint    address in links (PublicEndpoint)
//	use_path_style     bucket name in the path (UsePathStyle)
//	sse                AES256 (default), aws:kms, aws:kms:dsse or none (Encryption)
//	kms_key_id         key for aws:kms; by default that of the account (KMSKeyID)
//	stall_timeout      such as 30s; 1m by default (StallTimeout)
//	stale_after        such as 60s; 45s by default (StaleAfter)
//
// The URL also accepts these parameters of the Go CDK's s3blob: region,
// profile, role, anonymous, dualstack, fips, accelerate, disable_https,
// rate_limiter_capacity, request_checksum_calculation,
// response_checksum_validation, ssetype and kmskeyid. An unknown parameter is
// an error.
//
// # Credentials
//
// Credentials come from the AWS default chain: environment, shared files,
// containers or instance roles. [Open] accepts explicit credentials. No
// parameter accepts a secret, because URLs appear in logs.
//
// The credentials need these permissions:
//
//   - on the bucket: s3:ListBucket and s3:ListBucketMultipartUploads
//   - on its objects: s3:GetObject, s3:PutObject, s3:DeleteObject,
//     s3:AbortMultipartUpload and s3:ListMultipartUploadParts
//   - with aws:kms, also kms:GenerateDataKey and kms:Decrypt
//
// Without s3:ListBucket, S3 responds "forbidden" for missing objects. Opening a
// bucket therefore fails without this permission.
//
// # Encryption
//
// Every write, copy and signed upload requests server-side encryption. A
// service without encryption refuses the request or, like versitygw, ignores
// the encryption. If it refuses, set sse=none.
//
// # Writes
//
// One PUT request stores content of a known size below 16 MiB, and content that
// ends within the first 8 MiB. Its SHA-256 is sent as a checksum and stored in
// the metadata.
//
// A multipart upload stores other content, one part of 8 to 16 MiB after
// another, each with its SHA-256. The metadata of such an object is fixed
// before its last byte is read. The digest is therefore stored with the object
// only if the caller knew it in advance. Otherwise it is recorded only in the
// trail.
//
// A write holds at most 8 MiB in memory. It holds up to 16 MiB if the size is
// known and below 16 MiB, and up to 24 MiB for objects larger than 39 GiB. The
// maximum size of an object is 156 GiB, or 117 GiB if the size is unknown.
//
// A failed write aborts its multipart upload. If the service began one without
// responding, it is aborted once it is stale. Reconcile aborts the uploads of
// killed processes. For a program that never runs again, use the lifecycle rule
// AbortIncompleteMultipartUpload.
//
// # Links
//
// S3 itself enforces method, expiry (at most 7 days), content type, exact
// length, SHA-256 and create-only, as signed headers. A maximum length needs a
// POST form, and a form cannot be create-only. A link signed with temporary
// credentials expires with them. The access logs of the service show the grant
// ID, as the signed parameter "x-blobtrail-grant".
//
// # Import
//
// Import the package for its side effect:
//
//	import _ "github.com/blobtrail/blobtrail/blobstore/s3store"
package s3store

import (
	"cmp"
	"context"
	"fmt"
	"net/url"

	gcaws "gocloud.dev/aws"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const scheme = "s3"

func init() {
	driver.Register(scheme, func(ctx context.Context, u *url.URL, c driver.Credentials) (driver.Bucket, error) {
		o, err := parse(ctx, u)
		if err != nil {
			return nil, fmt.Errorf("s3://%s: %w", u.Host, err)
		}
		if !c.IsZero() {
			o.AccessKey, o.SecretKey = c.AccessKey, c.SecretKey
		}
		return Open(ctx, o)
	}, "AccessKey", "SecretKey")
}

// parse returns the options of a URL.
func parse(ctx context.Context, u *url.URL) (*Options, error) {
	if err := provider.CheckURL(u, "s3://bucket", "the environment or by s3store.Open"); err != nil {
		return nil, err
	}
	o := &Options{Bucket: u.Host}
	var (
		encryption, key string // the names of the Go CDK
		// hostname_immutable also keeps the bucket name out of the host.
		pathStyle, immutable bool
	)
	q, err := provider.Parameters(u.Query(), map[string]any{
		"create": &o.Create, "endpoint": &o.Endpoint, "public_endpoint": &o.PublicEndpoint, "stall_timeout": &o.StallTimeout, "stale_after": &o.StaleAfter,
		"sse": &o.Encryption, "ssetype": &encryption, "kms_key_id": &o.KMSKeyID, "kmskeyid": &key,
		"use_path_style": &o.UsePathStyle, "s3ForcePathStyle": &pathStyle, "hostname_immutable": &immutable,
		"accelerate": &o.accelerate, "disable_https": &o.disableHTTPS,
	})
	if err != nil {
		return nil, err
	}
	o.Encryption, o.KMSKeyID = cmp.Or(o.Encryption, encryption), cmp.Or(o.KMSKeyID, key)
	o.UsePathStyle = o.UsePathStyle || pathStyle || immutable
	cfg, err := gcaws.V2ConfigFromURLParams(ctx, q)
	if err != nil {
		return nil, err
	}
	o.Config = &cfg
	return o, nil
}
