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
	credentials []string // the fields of Credentials that it uses
}

var (
	mu      sync.RWMutex
	openers = map[string]opener{}
)

// known names the package that a program must import for a scheme, so that a
// missing import is explained.
var known = map[string]string{
	"file":   "filestore",
	"local":  "filestore",
	"mem":    "memstore",
	"s3":     "s3store",
	"azblob": "azurestore",
	"gs":     "gcsstore",
}

// Register makes a provider known by the scheme of its URLs. It is called from
// init functions and panics if the scheme is taken. The function open opens the
// bucket that a URL names. It uses the fields of c that are set and otherwise finds
// credentials itself. The names of these fields are credentials, such as
// "AccessKey". [Open] refuses the others.
func Register(scheme string, open func(ctx context.Context, u *url.URL, c Credentials) (Bucket, error), credentials ...string) {
	mu.Lock()
	defer mu.Unlock()
	if _, taken := openers[scheme]; taken {
		panic("blobstore/driver: scheme " + scheme + " registered twice")
	}
	openers[scheme] = opener{open, credentials}
}

// Open opens the bucket that urlstr names, with the provider that is registered
// for its scheme. The provider finds the credentials itself unless c has some.
func Open(ctx context.Context, urlstr string, c Credentials) (Bucket, error) {
	u, err := url.Parse(urlstr)
	if err != nil {
		// The error of url.Parse repeats the URL or a part of it, which may be
		// of a password.
		return nil, errors.New("storage URL can't be parsed: want something like s3://bucket?region=eu-central-1, with special characters escaped as %XX")
	}
	if u.Scheme == "" {
		return nil, errors.New("storage URL has no scheme: want something like local:///var/lib/files or s3://bucket")
	}
	mu.RLock()
	o, ok := openers[u.Scheme]
	names := slices.Sorted(maps.Keys(openers))
	mu.RUnlock()
	if !ok {
		if pkg := known[u.Scheme]; pkg != "" {
			return nil, fmt.Errorf("no provider for %s:// URLs in this program: add import _ \"github.com/blobtrail/blobtrail/blobstore/%s\"", u.Scheme, pkg)
		}
		return nil, fmt.Errorf("no provider for %s:// URLs; this program has %s", u.Scheme, strings.Join(names, ", "))
	}
	if err := c.only(o.credentials); err != nil {
		return nil, fmt.Errorf("%s://%s: %w", u.Scheme, u.Host, err)
	}
	return o.open(ctx, u, c)
}
