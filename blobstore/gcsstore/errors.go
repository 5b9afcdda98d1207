package gcsstore

// What the service's errors mean. The Go CDK takes "forbidden" for "not found".

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"cloud.google.com/go/storage"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// mapError returns err as an error of the contract. That a bucket is missing is not that an
// object is: nothing can be concluded from it.
func (b *bucket) mapError(err error) error {
	err = cloudhttp.WithoutQuery(err) // it names the session of a resumable upload, which whoever knows it may go on with
	var token *oauth2.RetrieveError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, storage.ErrBucketNotExist), status(err) == http.StatusNotFound && strings.Contains(err.Error(), noBucketText):
		// The library takes each 404 of a request about an object for a missing object.
		return provider.As(driver.ErrNoBucket, err)
	case errors.Is(err, storage.ErrObjectNotExist):
		return provider.As(fs.ErrNotExist, err)
	case errors.As(err, &token):
		// Its text repeats the whole answer.
		return provider.As(fs.ErrPermission, fmt.Errorf("no token was given for the credentials: %s", token.ErrorCode))
	}
	switch status(err) {
	case http.StatusBadRequest:
		if strings.Contains(err.Error(), "doesn't match calculated") { // there is no code for it
			return provider.As(driver.ErrChecksum, err)
		}
	case http.StatusNotFound:
		return provider.As(fs.ErrNotExist, err)
	case http.StatusPreconditionFailed:
		return provider.As(fs.ErrExist, err)
	case 0:
		return provider.MapCode(err)
	}
	return cloud.MapStatus(status(err), err)
}

// noBucketText is what the service says of a missing bucket, and noObjectText of
// a missing object. It has no codes for them.
const (
	noBucketText = "The specified bucket does not exist"
	noObjectText = "No such object"
)

// missing returns the error of a request about one object. If the service says
// no more than "not found", the bucket is asked for.
func (b *bucket) missing(ctx context.Context, err error) error {
	mapped := b.mapError(err)
	if !errors.Is(mapped, fs.ErrNotExist) || strings.Contains(err.Error(), noObjectText) {
		return mapped
	}
	if err := b.there.Ask(ctx, b.list); err != nil {
		return b.mapError(err)
	}
	return mapped
}

// status returns the HTTP status of an answer, or 0.
func status(err error) int {
	var ge *googleapi.Error
	if errors.As(err, &ge) {
		return ge.Code
	}
	return 0
}
