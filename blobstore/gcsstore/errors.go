package gcsstore

// This file maps the errors of the service. The Go CDK reports "forbidden" as
// "not found".

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

// mapError returns err as an error of the contract. A missing bucket is
// different from a missing object, because it proves nothing about the object.
func (b *bucket) mapError(err error) error {
	err = cloudhttp.WithoutQuery(err) // the URL of a resumable upload is a secret: it permits continuing the upload
	var token *oauth2.RetrieveError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, storage.ErrBucketNotExist), status(err) == http.StatusNotFound && strings.Contains(err.Error(), noBucketText):
		// The library maps each 404 of a request for an object to a missing
		// object.
		return provider.As(driver.ErrNoBucket, err)
	case errors.Is(err, storage.ErrObjectNotExist):
		return provider.As(fs.ErrNotExist, err)
	case errors.As(err, &token):
		// The text of the error repeats the whole response.
		return provider.As(fs.ErrPermission, fmt.Errorf("no token for the credentials: %s", token.ErrorCode))
	}
	switch status(err) {
	case http.StatusBadRequest:
		if strings.Contains(err.Error(), "doesn't match calculated") { // this error has no code
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

// noBucketText and noObjectText are the service's texts for a missing bucket
// and a missing object. The service has no codes for them.
const (
	noBucketText = "The specified bucket does not exist"
	noObjectText = "No such object"
)

// missing returns the error of a request for one object. If the response is
// just "not found", missing checks whether the bucket exists.
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

// status returns the HTTP status of a response, or 0.
func status(err error) int {
	var ge *googleapi.Error
	if errors.As(err, &ge) {
		return ge.Code
	}
	return 0
}
