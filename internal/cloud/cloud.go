// Package cloud contains code shared by the providers of cloud services.
// Package provider contains code shared by all providers.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const (
	OpenTimeout   = 5 * time.Second        // the time to open a bucket
	Attempts      = 4                      // the number of attempts of a repeatable request
	RetryDelay    = 200 * time.Millisecond // before the second attempt; doubled before each further one
	MaxRetryDelay = 5 * time.Second
	Resumes       = 3 // the number of times an interrupted download is resumed
)

// MaxExpiry is the maximum lifetime of a link signed by a service.
const MaxExpiry = 7 * 24 * time.Hour

// GrantParam is the signed parameter of a link with the grant ID. It appears in
// the access logs of the services.
const GrantParam = "x-blobtrail-grant"

// MakeByHand is the instruction for confirming that a missing bucket is meant
// to be new. See [provider.Fresh].
const MakeByHand = "create it by hand and open it then"

// Endpoint parses the address of a service. An error contains what, the kind of
// the address, and an example.
func Endpoint(what, address, example string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("invalid %s: want an address such as %s", what, example)
	}
	return u, nil
}

// Name returns the name of a bucket in the trail. Two services may have buckets
// with the same name, so the result includes the host of the endpoint, if any.
func Name(bucket, endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		return u.Host + "/" + bucket
	}
	return bucket
}

// ErrMissing reports that the bucket to open does not exist.
var ErrMissing = errors.New("does not exist: create it, or open it with create=true")

// Explain returns the error of opening a bucket that cannot be listed. err is
// the error of the service, and mapped is the corresponding error of the
// contract. refused reports whether the service rejected the credentials. check
// states what to check if the service did not respond, such as ": check account
// and network: ".
func Explain(err, mapped error, refused bool, check string) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the service did not respond within %v%s%w", OpenTimeout, check, mapped)
	case refused:
		return fmt.Errorf("the service rejected the credentials: %w", mapped)
	}
	return fmt.Errorf("cannot be listed: %w", mapped)
}

// MapStatus returns err as the error of the contract for an HTTP status with
// the same meaning on every service.
func MapStatus(status int, err error) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return provider.As(fs.ErrPermission, err)
	case http.StatusRequestEntityTooLarge:
		return provider.As(driver.ErrTooLarge, err)
	case http.StatusRequestedRangeNotSatisfiable:
		return provider.As(driver.ErrRange, err)
	case http.StatusNotImplemented:
		return provider.As(errors.ErrUnsupported, err)
	}
	return err
}

// ReadNothing returns a reader of no bytes at offset. The services refuse such
// ranges, even at the end of an object.
func ReadNothing(ctx context.Context, b driver.Bucket, key string, offset int64) (*driver.Reader, error) {
	attrs, err := b.Attributes(ctx, key)
	if err == nil {
		err = provider.CheckOffset(offset, attrs.Size)
	}
	if err != nil {
		return nil, err
	}
	return &driver.Reader{ReadCloser: http.NoBody, Attributes: attrs}, nil
}

// WholeSize returns the size of an object from the length and the Content-Range
// of the response to a range request.
func WholeSize(length int64, contentRange *string) (int64, error) {
	if contentRange == nil || *contentRange == "" {
		return length, nil
	}
	_, total, ok := strings.Cut(*contentRange, "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("the service did not return the size of the object: Content-Range is %.100q", *contentRange)
	}
	return size, nil
}
