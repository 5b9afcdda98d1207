// Package s3store is the provider of Amazon S3 and of services that speak its
// protocol, such as MinIO.
//
//	s3://bucket?region=eu-central-1
//	s3://bucket?region=us-east-1&endpoint=https://minio.internal:9000&use_path_style=true
//
// It takes the URLs of the Go CDK's s3blob, with these parameters: region,
// endpoint, use_path_style, profile, role, anonymous, dualstack, fips,
// accelerate, disable_https, rate_limiter_capacity,
// request_checksum_calculation, response_checksum_validation, ssetype and
// kmskeyid, and these of its own:
//
//	create=true        make the bucket if it is missing
//	sse                AES256 (the default), aws:kms, aws:kms:dsse, or none
//	kms_key_id         the key for aws:kms; without it the account's default key
//	public_endpoint    the address for links, if clients reach the service by another
//	stall_timeout      how long a connection may stand still, such as 30s; 1m by default
//	stale_after        see Options.StaleAfter
//
// Credentials come from the AWS default chain (environment, shared files,
// containers, instance roles); [Open] takes explicit ones. There is no parameter
// for a secret, since URLs end up in logs.
//
// # What is needed
//
// The credentials need s3:ListBucket and s3:ListBucketMultipartUploads on the
// bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject,
// s3:AbortMultipartUpload and s3:ListMultipartUploadParts on its objects; with
// aws:kms also kms:GenerateDataKey and kms:Decrypt. Without s3:ListBucket, S3
// answers "forbidden" for objects that do not exist, so opening insists on it.
//
// # Encryption
//
// Every write, copy and signed upload asks for server-side encryption. A service
// that does not encrypt either refuses that (then say sse=none) or, as versitygw
// does, ignores it.
//
// # Writes
//
// Content of a known size below 16 MiB, and any that ends within the first
// 8 MiB, is one PUT request with its SHA-256 as checksum and in the metadata.
// The rest is a multipart upload, one part of 8 to 16 MiB after the other, each
// with its SHA-256; the metadata of such an object is fixed before its last byte
// is known, so that its digest is with the object only if the caller knew it,
// and otherwise in the trail alone. One write holds 8 MiB at most, 16 MiB where
// the size is known and below that, and 24 MiB for objects beyond 39 GiB. An
// object can have up to 156 GiB (117 GiB if its size is not known beforehand).
//
// A write that fails aborts its multipart upload. One that the service began
// without an answer is aborted when it is stale, and what a killed process left
// is aborted by Reconcile; a lifecycle rule AbortIncompleteMultipartUpload does the
// same for a program that never runs again.
//
// # Links
//
// S3 itself enforces method, expiry (at most 7 days), content type, exact length,
// SHA-256 and create-only, as signed headers. A limit of the length needs a POST
// form, which cannot be create-only. Links signed with temporary credentials end
// with those. The grant id is the signed parameter "x-blobtrail-grant", which
// the service's access logs show.
//
// Import it for its side effect:
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

// parse returns the options that a URL stands for.
func parse(ctx context.Context, u *url.URL) (*Options, error) {
	if err := provider.CheckURL(u, "s3://bucket", "the environment or by s3store.Open"); err != nil {
		return nil, err
	}
	o := &Options{Bucket: u.Host}
	var (
		encryption, key      string // the names of the Go CDK
		pathStyle, immutable bool   // too; the latter: the bucket is not made part of the host
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
