package blobstore

import (
	"context"
	"net/http"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/signurl"
)

// Options configures a [Store]. Nil and the zero value select the defaults.
type Options struct {
	// Authorize is called with the event of every operation before it begins,
	// except for Check and Reconcile. If it returns an error, the operation is
	// refused: the trail records the outcome "denied", and the caller's error
	// wraps both [ErrDenied] and that error. Authorize may be called
	// concurrently. It is called when a link is issued, but not when the link
	// is used; see [Redemption]. Nil permits everything.
	Authorize func(ctx context.Context, e audit.Event) error

	// DefaultActor is the actor for contexts without one, for programs without
	// users. If it is not set, such operations fail with [audit.ErrNoActor].
	DefaultActor audit.Actor

	// Signer signs and verifies the links served by the program itself, for
	// example on backends without signed links such as local files. Its base
	// URL is the URL under which the program mounts the handler blobhttp.Links.
	// If nil, such links and [Store.Redeem] fail with [ErrUnsupported].
	Signer *signurl.Signer

	// Grants stores the use counts of limited links, and revoked links; see
	// [Store.Revoke] and LinkOptions.MaxUses. If nil, the store uses the grants
	// of the journal, which sqlaudit provides. Without either, links cannot be
	// revoked or limited.
	Grants signurl.Grants

	// Credentials are used by [Open] in place of the credentials found by the
	// provider. [New] does not accept them, because its bucket is open already.
	Credentials driver.Credentials

	// MaxSize limits every upload, in bytes. Zero means unlimited.
	MaxSize int64

	// LinkExpiry is the lifetime of a link without an expiry in its options.
	// Zero means one hour.
	LinkExpiry time.Duration

	// MaxLinkExpiry is the longest permitted lifetime of a link. Zero means 7
	// days, which is also the maximum of S3 and Google Cloud Storage.
	MaxLinkExpiry time.Duration

	// Lease is how long [Store.Reconcile] leaves an operation alone after its
	// process was last seen alive. A running operation renews its lease after
	// every third of this time. Zero means one minute.
	Lease time.Duration

	// CheckClient is the HTTP client used by [Store.Check] to fetch a signed
	// link. Set it for a service with a private certificate authority. If nil,
	// Check uses a client with the proxy settings of the environment.
	CheckClient *http.Client

	// Timeout limits each step that transfers no content: looking up, deleting,
	// signing, and writing to the trail. Zero means 30 seconds. To limit the
	// transfer of content, use the context.
	Timeout time.Duration
}

func (o *Options) withDefaults(journal audit.Journal) Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if opts.Grants == nil {
		opts.Grants = ownGrants(journal)
	}
	def(&opts.LinkExpiry, time.Hour)
	def(&opts.MaxLinkExpiry, 7*24*time.Hour)
	def(&opts.Lease, time.Minute)
	def(&opts.Timeout, 30*time.Second)
	return opts
}
