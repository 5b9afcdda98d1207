package blobstore

import (
	"context"
	"net/http"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/signurl"
)

// Options configure a [Store]. Nil and the zero value mean the defaults.
type Options struct {
	// Authorize, if not nil, is asked before every operation, with what is
	// about to happen; its error refuses it. The refusal is recorded with
	// outcome denied, and the caller's error wraps [ErrDenied] and it. It may be
	// called concurrently. It is not asked about the use of a link, because it was
	// asked when the link was issued; see [Redemption].
	Authorize func(ctx context.Context, e audit.Event) error

	// DefaultActor is the actor of an operation whose context has none, for
	// programs without users. Without it such an operation fails with
	// [audit.ErrNoActor].
	DefaultActor audit.Actor

	// Signer signs the links of a backend that cannot sign its own, such as
	// local files; its base URL is where the host mounts blobhttp.Links.
	// Without it such links are [ErrUnsupported]. [Store.Redeem] verifies the links
	// with it.
	Signer *signurl.Signer

	// Grants stores which links were revoked or used up; see [Store.Revoke] and
	// LinkOptions.MaxUses. Nil: the journal's own, if it has any, as sqlaudit's
	// has. Without any, no link can be revoked or counted.
	Grants signurl.Grants

	// Credentials open the bucket in [Open], instead of those that the provider
	// finds itself. [New] refuses them.
	Credentials driver.Credentials

	// MaxSize limits every upload, in bytes. Zero means unlimited.
	MaxSize int64

	// LinkExpiry is the lifetime of a link that does not set its own. Zero means
	// an hour.
	LinkExpiry time.Duration

	// MaxLinkExpiry is the longest lifetime that a link may have. Zero means 7
	// days, which is also the longest that S3 and GCS sign.
	MaxLinkExpiry time.Duration

	// Lease is how long [Store.Reconcile] leaves an operation alone after its
	// process was last seen alive. Running operations renew it every third of it.
	// Zero means a minute.
	Lease time.Duration

	// CheckClient fetches the link that [Store.Check] signs, for a service with a
	// private certificate authority. Nil means a client that uses the proxy of the
	// environment.
	CheckClient *http.Client

	// Timeout limits each step that moves no content: looking up, deleting,
	// signing, and writing to the trail. Zero means 30 seconds. It does not limit
	// the transfer of content; limit that by the context.
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
