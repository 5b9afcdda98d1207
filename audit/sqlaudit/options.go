package sqlaudit

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/blobtrail/blobtrail/secret"
)

// Options configure a [Journal]. Nil, or the zero value of a field, selects the
// default.
type Options struct {
	// Timeout limits how long any call waits for the database, even if its
	// context allows more. Default: 10 s.
	Timeout time.Duration

	// MaxBatch limits the entries of one transaction, from 1 to 1,000. A single
	// settlement with more entries is still stored in one transaction. Default:
	// 256.
	MaxBatch int

	// QueueLength limits the callers that wait for a transaction. Further
	// callers wait until the queue has room. Default: 1,024.
	QueueLength int

	// Origin describes this process in file_access_writers, for human readers.
	// At most 255 bytes. Default: the host name.
	Origin string

	// DeploymentKey certifies the keys of this process's writers. Use the same
	// key, from [GenerateDeploymentKey], in all processes of a deployment. With
	// a key, this process acts only on operations begun by a certified writer.
	//
	// Without a key, writers certify themselves. Anyone who can write to the
	// database could then replace a writer with their own. Only published
	// checkpoints detect this. Nothing detects orders of such a writer to erase
	// or purge entries. Such a writer could also begin operations that this
	// process then settles.
	DeploymentKey secret.Text

	// TrustedKeys are more verifier keys, such as the one of the previous
	// deployment key. This process settles the open operations of writers
	// certified by these keys, and publishes their last checkpoints.
	// TrustedKeys require a DeploymentKey. Default: none.
	TrustedKeys []string

	// Publish writes checkpoints to a bucket. Without it, anyone who can write
	// to the database can cut off the end of the trail or restore an older copy
	// of the database without being detected. Default: nil, which publishes
	// nothing.
	Publish *PublishOptions

	// Acknowledge determines when Log returns. Default: [AfterCommit].
	Acknowledge Acknowledgment

	// SkipMigrate skips the migrations. The tables must exist; see
	// [Migrations]. With SkipMigrate, a journal that is only read from writes
	// nothing, so it also works on a read replica.
	SkipMigrate bool

	// Logger receives warnings about retries, about failed maintenance, and
	// about database settings that endanger durable commits. Default:
	// slog.Default().
	Logger *slog.Logger
}

// Acknowledgment is the time at which Log acknowledges an entry.
type Acknowledgment int

const (
	// AfterCommit acknowledges an entry when its transaction is committed. The
	// checkpoint is published later, so a failing bucket does not delay the
	// trail.
	AfterCommit Acknowledgment = iota

	// AfterPublish acknowledges an entry after its checkpoint is also
	// published. Cutting off an acknowledged entry is then always detected.
	// While the bucket fails, no entry is acknowledged. AfterPublish requires
	// [Options.Publish].
	AfterPublish

	// WhenQueued acknowledges the entries of Log before they are stored. It
	// gives up the guarantee of [audit.Logger]: downloads and links can happen
	// without a record. If the process is killed, up to QueueLength + MaxBatch
	// acknowledged entries are lost without a trace. [Journal.Close] stores the
	// queued entries, or returns the entries that it could not store.
	//
	// While the database is unavailable, entries wait in the queue, and Log
	// blocks if the queue is full. If the database rejects entries, an entry
	// with the action [audit.ActionGap] records how many. Begin, Settle, Erase
	// and Purge still wait for their commit, so no file changes without a
	// record.
	WhenQueued
)

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if err := out.check(); err != nil {
		return out, err
	}
	publish, err := out.Publish.withDefaults()
	if err != nil {
		return out, err
	}
	out.Publish = publish
	out.Timeout = cmp.Or(out.Timeout, 10*time.Second)
	out.MaxBatch = cmp.Or(out.MaxBatch, 256)
	out.QueueLength = cmp.Or(out.QueueLength, 1024)
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

// check rejects values that are out of range or contradict each other.
func (o *Options) check() error {
	switch {
	case o.Timeout < 0:
		return fmt.Errorf("sqlaudit: invalid Options.Timeout %v: want a positive duration, or 0 for 10 s", o.Timeout)
	case o.MaxBatch < 0 || o.MaxBatch > 1000:
		return fmt.Errorf("sqlaudit: invalid Options.MaxBatch %d: want 1 to 1000, or 0 for 256", o.MaxBatch)
	case o.QueueLength < 0:
		return fmt.Errorf("sqlaudit: invalid Options.QueueLength %d: want a positive number, or 0 for 1024", o.QueueLength)
	case len(o.Origin) > 255:
		return fmt.Errorf("sqlaudit: invalid Options.Origin of %d bytes: want at most 255", len(o.Origin))
	case !utf8.ValidString(o.Origin) || strings.ContainsRune(o.Origin, 0):
		return fmt.Errorf("sqlaudit: invalid Options.Origin %q: want UTF-8 without NUL characters", o.Origin)
	case len(o.TrustedKeys) > 0 && o.DeploymentKey.IsZero():
		return errors.New("sqlaudit: Options.TrustedKeys is set, but DeploymentKey is not: set the key that certifies this process's writers")
	case o.Acknowledge < AfterCommit || o.Acknowledge > WhenQueued:
		return fmt.Errorf("sqlaudit: invalid Options.Acknowledge %d: want AfterCommit, AfterPublish or WhenQueued", o.Acknowledge)
	case o.Acknowledge == AfterPublish && o.Publish == nil:
		return errors.New("sqlaudit: Options.Acknowledge is AfterPublish, but Publish is nil: set a bucket to publish to")
	}
	return nil
}
