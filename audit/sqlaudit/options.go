package sqlaudit

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/blobtrail/blobtrail/audit"
)

// Options configure a [Journal]. Nil, or the zero value of a field, means the
// default.
type Options struct {
	// Timeout is the longest that any call waits for the database, even if its
	// context allows more. Default: 10 s.
	Timeout time.Duration

	// Lease is how long an intent is held when its caller names no lease.
	// Default: [audit.DefaultLease], a minute. It should be well above Timeout.
	Lease time.Duration

	// MaxBatch is the largest number of entries that one transaction stores,
	// 1 to 1,000. Default: 256. A single settlement with more is stored whole.
	MaxBatch int

	// QueueLength is how many callers can wait for a transaction; further ones
	// wait for a place in the queue. Default: 1,024.
	QueueLength int

	// Origin names this process in file_access_writers, for people who read
	// it. Default: the host's name. At most 255 bytes.
	Origin string

	// Signer is the deployment's key, with which each writer's own key is
	// certified, so that whoever owns the database can't make up writers. Mint
	// one with golang.org/x/mod/sumdb/note.GenerateKey, keep the secret half out
	// of the database, and give the public half to [Journal.Verify]. Nil: keys
	// are not certified.
	Signer note.Signer

	// SkipMigrate leaves the tables as they are. They must exist; see
	// [Migrations].
	SkipMigrate bool

	// Logger is told when the database has to be asked again, and when it is
	// set up so that a commit may not be durable. Default: slog.Default().
	Logger *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	switch {
	case out.Timeout < 0:
		return out, fmt.Errorf("sqlaudit: Options.Timeout is %v: want a positive duration, or 0 for 10 s", out.Timeout)
	case out.Lease < 0:
		return out, fmt.Errorf("sqlaudit: Options.Lease is %v: want a positive duration, or 0 for %v", out.Lease, audit.DefaultLease)
	case out.MaxBatch < 0 || out.MaxBatch > 1000:
		return out, fmt.Errorf("sqlaudit: Options.MaxBatch is %d: want 1 to 1000, or 0 for 256", out.MaxBatch)
	case out.QueueLength < 0:
		return out, fmt.Errorf("sqlaudit: Options.QueueLength is %d: want a positive number, or 0 for 1024", out.QueueLength)
	case len(out.Origin) > 255:
		return out, fmt.Errorf("sqlaudit: Options.Origin has %d bytes: want at most 255", len(out.Origin))
	}
	if out.Timeout == 0 {
		out.Timeout = 10 * time.Second
	}
	if out.Lease == 0 {
		out.Lease = audit.DefaultLease
	}
	if out.MaxBatch == 0 {
		out.MaxBatch = 256
	}
	if out.QueueLength == 0 {
		out.QueueLength = 1024
	}
	if out.Origin == "" {
		if name, err := os.Hostname(); err == nil {
			out.Origin = name
		}
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return out, nil
}
