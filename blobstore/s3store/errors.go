package s3store

// What the service's errors mean. Its codes say more than the Go CDK passes on.

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

// kinds are what the codes of S3 stand for. That a bucket is missing is not that
// an object is: nothing can be concluded from it.
var kinds = map[string]error{
	"NoSuchBucket": driver.ErrNoBucket,

	"NoSuchKey": fs.ErrNotExist,
	"NotFound":  fs.ErrNotExist, // the answer to HEAD

	"PreconditionFailed": fs.ErrExist,
	// Of services that keep objects in folders: a key may not lie below another.
	"ExistingObjectIsDirectory": fs.ErrExist,
	"ObjectParentIsFile":        fs.ErrExist,

	"AccessDenied":          fs.ErrPermission,
	"AllAccessDisabled":     fs.ErrPermission,
	"AccountProblem":        fs.ErrPermission,
	"ExpiredToken":          fs.ErrPermission,
	"Forbidden":             fs.ErrPermission,
	"InvalidAccessKeyId":    fs.ErrPermission,
	"InvalidObjectState":    fs.ErrPermission, // archived: to be restored first
	"InvalidSecurity":       fs.ErrPermission,
	"InvalidToken":          fs.ErrPermission,
	"KMS.DisabledException": fs.ErrPermission,
	"NotSignedUp":           fs.ErrPermission,
	"RequestTimeTooSkewed":  fs.ErrPermission,
	"SignatureDoesNotMatch": fs.ErrPermission,
	"UnauthorizedAccess":    fs.ErrPermission,
	"XAdminUserNotFound":    fs.ErrPermission, // of versitygw

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

// missing returns the error of a request about one object. The response to HEAD
// has no body, so that a missing bucket looks like a missing object: if the
// service says no more than "not found", the bucket is asked for.
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

// findBucket returns nil if the bucket exists. Credentials that may list it may
// most often ask for its head too, which costs less.
func (b *bucket) findBucket(ctx context.Context) error {
	_, err := b.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name})
	if err == nil {
		return nil
	}
	if errors.Is(b.mapError(err), fs.ErrNotExist) {
		return provider.As(driver.ErrNoBucket, errors.New("the service has no bucket of this name"))
	}
	return b.mapError(b.list(ctx)) // whose response has a body
}

// code returns the service's word for err, or "".
func code(err error) string {
	if ae := smithy.APIError(nil); errors.As(err, &ae) {
		return ae.ErrorCode()
	}
	return ""
}
