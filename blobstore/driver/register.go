package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// opener opens the buckets of a scheme.
type opener struct {
	open        func(ctx context.Context, u *url.URL, c Credentials) (Bucket, error)
	credentials []string // fields of Credentials that it uses
}

var (
	mu      sync.RWMutex
	openers = map[string]opener{}
)

// known maps each scheme to the package that an application must import. Open
// uses it to explain a missing import.
var known = map[string]string{
	"file":   "filestore",
	"local":  "filestore",
	"mem":    "memstore",
	"s3":     "s3store",
	"azblob": "azurestore",
	"gs":     "gcsstore",
}

// Register makes a provider available under the scheme of its URLs. Call it in
// an init function. Register panics if the scheme is already registered.
//
// The function open opens the bucket of a URL. It uses the fields of c that are
// set, and otherwise finds credentials itself. The argument credentials lists
// the names of these fields, such as "AccessKey". [Open] refuses other fields.
func Register(scheme string, open func(ctx context.Context, u *url.URL, c Credentials) (Bucket, error), credentials ...string) {
	mu.Lock()
	defer mu.Unlock()
	if _, taken := openers[scheme]; taken {
		panic("blobstore/driver: scheme " + scheme + " registered twice")
	}
	openers[scheme] = opener{open, credentials}
}

// Open opens the bucket of urlstr with the provider registered for its scheme.
// The provider uses c, or finds credentials itself if c is zero.
//
// Open fails if no provider is registered for the scheme, or if the provider
// does not use a field set in c.
func Open(ctx context.Context, urlstr string, c Credentials) (Bucket, error) {
	u, err := url.Parse(urlstr)
	if err != nil {
		// The error of url.Parse contains the URL or a part of it, possibly of
		// a password.
		return nil, errors.New("invalid storage URL: want a URL such as s3://bucket?region=eu-central-1, with special characters escaped as %XX")
	}
	if u.Scheme == "" {
		return nil, errors.New("storage URL has no scheme: want a URL such as local:///var/lib/files or s3://bucket")
	}
	mu.RLock()
	o, ok := openers[u.Scheme]
	names := slices.Sorted(maps.Keys(openers))
	mu.RUnlock()
	if !ok {
		if pkg := known[u.Scheme]; pkg != "" {
			return nil, fmt.Errorf("no provider for %s:// URLs in this program: add import _ \"github.com/blobtrail/blobtrail/blobstore/%s\"", u.Scheme, pkg)
		}
		return nil, fmt.Errorf("no provider for %s:// URLs: this program has %s", u.Scheme, strings.Join(names, ", "))
	}
	if err := c.only(o.credentials); err != nil {
		return nil, fmt.Errorf("%s://%s: %w", u.Scheme, u.Host, err)
	}
	return o.open(ctx, u, c)
}
