package s3store

// This file maps the errors of the service. Its codes are more precise than the
// error codes of the Go CDK.

import (
	"context"
	"errors"
	"io/fs"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// kinds maps the error codes of S3 to the contract. A missing bucket is
// different from a missing object, because it proves nothing about the object.
var kinds = map[string]error{
	"NoSuchBucket": driver.ErrNoBucket,

	"NoSuchKey": fs.ErrNotExist,
	"NotFound":  fs.ErrNotExist, // response to HEAD

	"PreconditionFailed": fs.ErrExist,
	// From services that store objects in folders: no key can be below another
	// key.
	"ExistingObjectIsDirectory": fs.ErrExist,
	"ObjectParentIsFile":        fs.ErrExist,

	"AccessDenied":          fs.ErrPermission,
	"AllAccessDisabled":     fs.ErrPermission,
	"AccountProblem":        fs.ErrPermission,
	"ExpiredToken":          fs.ErrPermission,
	"Forbidden":             fs.ErrPermission,
	"InvalidAccessKeyId":    fs.ErrPermission,
	"InvalidObjectState":    fs.ErrPermission, // archived: must be restored first
	"InvalidSecurity":       fs.ErrPermission,
	"InvalidToken":          fs.ErrPermission,
	"KMS.DisabledException": fs.ErrPermission,
	"NotSignedUp":           fs.ErrPermission,
	"RequestTimeTooSkewed":  fs.ErrPermission,
	"SignatureDoesNotMatch": fs.ErrPermission,
	"UnauthorizedAccess":    fs.ErrPermission,
	"XAdminUserNotFound":    fs.ErrPermission, // from versitygw

	"BadDigest":                   driver.ErrChecksum,
	"InvalidDigest":               driver.ErrChecksum,
	"XAmzContentChecksumMismatch": driver.ErrChecksum,
	"XAmzContentSHA256Mismatch":   driver.ErrChecksum,

	"EntityTooLarge":   driver.ErrTooLarge,
	"MetadataTooLarge": driver.ErrTooLarge,
	"InvalidRange":     driver.ErrRange,
	"NotImplemented":   errors.ErrUnsupported,
}

// mapError returns err as an error of the contract.
func (b *bucket) mapError(err error) error {
	if err == nil {
		return nil
	}
	for _, ctxErr := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ctxErr) {
			return err
		}
	}
	c := code(err)
	if kind := kinds[c]; kind != nil {
		return provider.As(kind, err)
	}
	if re := (*awshttp.ResponseError)(nil); errors.As(err, &re) {
		return cloud.MapStatus(re.HTTPStatusCode(), err)
	}
	return provider.MapCode(err)
}

// missing returns the error of a request for one object. The response to HEAD
// has no body, so a missing bucket looks like a missing object. If the response
// is just "not found", missing checks whether the bucket exists.
func (b *bucket) missing(ctx context.Context, err error) error {
	mapped := b.mapError(err)
	if !errors.Is(mapped, fs.ErrNotExist) || code(err) == "NoSuchKey" {
		return mapped
	}
	if err := b.there.Ask(ctx, b.findBucket); err != nil {
		return err
	}
	return mapped
}

// findBucket returns nil if the bucket exists. It sends HEAD first, which costs
// less than a listing. Most credentials that permit the listing permit HEAD
// too.
func (b *bucket) findBucket(ctx context.Context) error {
	_, err := b.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name})
	if err == nil {
		return nil
	}
	if errors.Is(b.mapError(err), fs.ErrNotExist) {
		return provider.As(driver.ErrNoBucket, errors.New("the service has no bucket of this name"))
	}
	return b.mapError(b.list(ctx)) // this response has a body
}

// code returns the error code of the service, or "".
func code(err error) string {
	if ae := smithy.APIError(nil); errors.As(err, &ae) {
		return ae.ErrorCode()
	}
	return ""
}
