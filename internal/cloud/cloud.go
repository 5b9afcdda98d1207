// Package cloud holds what the providers of cloud services share. Package provider
// holds what all providers share.
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
	OpenTimeout   = 5 * time.Second        // for opening a bucket
	Attempts      = 4                      // of a request that may be repeated
	RetryDelay    = 200 * time.Millisecond // before the second attempt; it doubles with each further one
	MaxRetryDelay = 5 * time.Second
	Resumes       = 3 // of a download whose connection was cut
)

// MaxExpiry is the longest expiry of links that a service signs.
const MaxExpiry = 7 * 24 * time.Hour

// GrantParam is the signed parameter of a link that holds the grant's id. The access
// logs of the services show it.
const GrantParam = "x-blobtrail-grant"

// MakeByHand is how a person confirms that a bucket which was made by opening it
// is meant to be new. See [provider.Fresh].
const MakeByHand = "create it by hand and open it then"

// Endpoint parses the address of a service. The error calls it what and shows an
// example of an address.
func Endpoint(what, address, example string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("the %s is not an address such as %s", what, example)
	}
	return u, nil
}

// Name returns the name of a bucket in the trail. Two services may each have a
// bucket of that name, so that the name holds the endpoint's host if there is an
// endpoint.
func Name(bucket, endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		return u.Host + "/" + bucket
	}
	return bucket
}

// ErrMissing is the error of opening a bucket that does not exist.
var ErrMissing = errors.New("it does not exist: make it, or open it with create=true")

// Explain returns the error of opening a bucket that can't be listed. The error of
// the listing is err, and mapped is that error as one of the contract; refused
// reports whether the service refused the credentials. If the service did not
// answer, check says what to check, such as ": check account and network: ".
func Explain(err, mapped error, refused bool, check string) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the service did not answer within %v%s%w", OpenTimeout, check, mapped)
	case refused:
		return fmt.Errorf("the service does not accept the credentials: %w", mapped)
	}
	return fmt.Errorf("it can't be listed: %w", mapped)
}

// MapStatus returns err as the error of the contract that the HTTP status of a
// response means on every service, whatever its code.
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

// ReadNothing opens no bytes of an object at offset. The services refuse such
// ranges, also at the very end of an object.
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

// WholeSize returns the size of the object of which a range was asked for, from
// the length and the Content-Range of the response.
func WholeSize(length int64, contentRange *string) (int64, error) {
	if contentRange == nil || *contentRange == "" {
		return length, nil
	}
	_, total, ok := strings.Cut(*contentRange, "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("the service did not say how large the object is: Content-Range is %.100q", *contentRange)
	}
	return size, nil
}
