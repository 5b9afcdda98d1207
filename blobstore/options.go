package blobstore

import (
	"context"
	"net/http"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/signurl"
)

// Options configure a [Store]. Nil and the zero value mean the defaults.
type Options struct {
	// Authorize, if not nil, is asked before every operation, with what is
	// about to happen; its error refuses it. The refusal is recorded with
	// outcome denied, and the caller's error wraps [ErrDenied] and it. It may be
	// called concurrently. The use of a link is not asked about: issuing the
	// link was; see [Use].
	Authorize func(ctx context.Context, e audit.Event) error

	// DefaultActor acts where the context carries none, for programs without
	// users. Without it such an operation is refused with [audit.ErrNoActor].
	DefaultActor audit.Actor

	// Signer signs the links of a backend that cannot sign its own, such as
	// local files; its base URL is where the host mounts blobhttp.Links.
	// Without it links of such a backend are [ErrUnsupported]. [Store.UseLink]
	// accepts only links that this very Signer verified, not those of another
	// one with the same keys.
	Signer *signurl.Signer

	// Grants keeps which links were used up or withdrawn. Without it no link
	// can be; see [Store.Revoke] and LinkOptions.MaxUses. An SQL journal has them:
	// sqlaudit's Journal.Grants.
	Grants signurl.Grants

	// MaxSize limits every upload, in bytes. 0: no limit.
	MaxSize int64

	// LinkExpiry is how long a link holds if it does not say. 0: an hour.
	LinkExpiry time.Duration

	// MaxLinkExpiry is the longest that a link may hold. 0: 7 days, which is
	// also the longest that S3 and GCS sign.
	MaxLinkExpiry time.Duration

	// Lease is for how long an operation is left alone by [Store.Reconcile]
	// after its process was last known to be alive. Running operations renew
	// it at a third of it. 0: a minute.
	Lease time.Duration

	// CheckClient fetches the link that [Store.Check] makes. Nil: one that uses
	// the environment's proxy.
	CheckClient *http.Client

	// Timeout limits each step that moves no content: looking up, deleting,
	// signing, writing to the trail. 0: 30 seconds. Content takes as long as it
	// takes; limit that by the context.
	Timeout time.Duration
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&opts.LinkExpiry, time.Hour)
	def(&opts.MaxLinkExpiry, 7*24*time.Hour)
	def(&opts.Lease, time.Minute)
	def(&opts.Timeout, 30*time.Second)
	return opts
}
