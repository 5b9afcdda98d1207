package azurestore

// This file maps the errors of the service. The Go CDK recognizes few of its
// codes.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// kinds maps the error codes of Azure to the contract. A missing container is
// different from a missing object, because it proves nothing about the object.
var kinds = map[bloberror.Code]error{
	bloberror.ContainerNotFound:     driver.ErrNoBucket,
	bloberror.ContainerBeingDeleted: driver.ErrNoBucket,
	bloberror.ContainerDisabled:     driver.ErrNoBucket,

	bloberror.BlobNotFound:     fs.ErrNotExist,
	bloberror.ResourceNotFound: fs.ErrNotExist, // object or container; see missing

	bloberror.BlobAlreadyExists:           fs.ErrExist,
	bloberror.ConditionNotMet:             fs.ErrExist,
	bloberror.TargetConditionNotMet:       fs.ErrExist,
	bloberror.UnauthorizedBlobOverwrite:   fs.ErrExist,
	bloberror.BlobImmutableDueToPolicy:    fs.ErrPermission,
	bloberror.BlobArchived:                fs.ErrPermission,
	bloberror.AccountIsDisabled:           fs.ErrPermission,
	bloberror.AuthenticationFailed:        fs.ErrPermission,
	bloberror.AuthorizationFailure:        fs.ErrPermission,
	bloberror.NoAuthenticationInformation: fs.ErrPermission,

	bloberror.CRC64Mismatch: driver.ErrChecksum,
	bloberror.MD5Mismatch:   driver.ErrChecksum,

	bloberror.RequestBodyTooLarge:    driver.ErrTooLarge,
	bloberror.MetadataTooLarge:       driver.ErrTooLarge,
	bloberror.BlockCountExceedsLimit: driver.ErrTooLarge,
	bloberror.InvalidRange:           driver.ErrRange,
}

// mapError returns err as an error of the contract.
func (b *bucket) mapError(err error) error {
	err = cloudhttp.WithoutQuery(err) // a SAS token is a query
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	re := (*azcore.ResponseError)(nil)
	if !errors.As(err, &re) {
		return provider.MapCode(err)
	}
	plain := &responseError{re}
	if kind := kinds[bloberror.Code(re.ErrorCode)]; kind != nil {
		return provider.As(kind, plain)
	}
	if re.StatusCode == http.StatusNotFound && re.ErrorCode == "" { // response to HEAD
		return provider.As(fs.ErrNotExist, plain)
	}
	return cloud.MapStatus(re.StatusCode, plain)
}

// missing returns the error of a request for one object. If the response is
// just "not found", missing checks whether the container exists.
func (b *bucket) missing(ctx context.Context, err error) error {
	mapped := b.mapError(err)
	if !errors.Is(mapped, fs.ErrNotExist) || bloberror.HasCode(err, bloberror.BlobNotFound) {
		return mapped
	}
	if err := b.there.Ask(ctx, b.findContainer); err != nil {
		return err
	}
	return mapped
}

// findContainer returns nil if the container exists. It lists the container.
// Opening the container has shown that the credentials permit this.
func (b *bucket) findContainer(ctx context.Context) error {
	err := b.list(ctx)
	if err == nil {
		return nil
	}
	if mapped := b.mapError(err); !errors.Is(mapped, fs.ErrNotExist) {
		return mapped
	}
	return provider.As(driver.ErrNoBucket, errors.New("the account has no container of this name"))
}

// responseError describes a response of the service in one line. The error of
// the SDK prints the URL of the request, possibly with a SAS token.
type responseError struct{ err *azcore.ResponseError }

func (e *responseError) Error() string {
	code := e.err.ErrorCode
	if code == "" {
		code = http.StatusText(e.err.StatusCode)
	}
	var id string
	if r := e.err.RawResponse; r != nil {
		id = ", request " + strings.TrimSpace(r.Header.Get("x-ms-request-id"))
	}
	return fmt.Sprintf("azure responded %d %s%s", e.err.StatusCode, code, id)
}

func (e *responseError) Unwrap() error { return e.err }
