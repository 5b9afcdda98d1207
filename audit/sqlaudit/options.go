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

// Options configure a [Journal]. Nil, or the zero value of a field, means the
// default.
type Options struct {
	// Timeout is the longest that any call waits for the database, even if its
	// context allows more. Default: 10 s.
	Timeout time.Duration

	// MaxBatch is the largest number of entries that one transaction stores,
	// 1 to 1,000. Default: 256. A single settlement with more is stored whole.
	MaxBatch int

	// QueueLength is how many callers can wait for a transaction; further ones
	// wait for a place in the queue. Default: 1,024.
	QueueLength int

	// Origin names this process in file_access_writers, for people who read
	// it. Default: the host's name. At most 255 bytes.
	Origin string

	// DeploymentKey certifies the keys that this process's writers sign with;
	// see [GenerateDeploymentKey]. All processes of a deployment have the same.
	// Without one each writer vouches for itself, and whoever can write to the
	// database could put a writer of their own in its place: only published
	// checkpoints show that then. Nothing shows that they had it order entries
	// to be erased or removed, and such a writer could begin operations that
	// this process then settles. With a key, this process acts only on
	// operations that a certified writer began.
	DeploymentKey secret.Text

	// TrustedKeys are further verifier keys whose writers this process
	// believes, such as that of the previous deployment key: it settles the
	// operations that they left open, and publishes their last checkpoints.
	// They need a DeploymentKey. Default: none.
	TrustedKeys []string

	// Publish has checkpoints written to a bucket. Without it, whoever can
	// write to the database can cut off the end of the trail, or put an older
	// copy of the database in its place, unseen.
	Publish *PublishOptions

	// Acknowledge says when Log returns. Default: [AfterCommit].
	Acknowledge Acknowledgment

	// SkipMigrate leaves the tables as they are. They must exist; see
	// [Migrations]. A journal that skips them and is only read from writes
	// nothing, so that it works on a read replica too.
	SkipMigrate bool

	// Logger is told when the database has to be asked again, and when it is
	// set up so that a commit may not be durable. Default: slog.Default().
	Logger *slog.Logger
}

// Acknowledgment is the moment at which a caller learns that its entry is
// recorded.
type Acknowledgment int

const (
	// AfterCommit acknowledges an entry when its transaction is committed. The
	// checkpoint is published later, so a failing bucket does not delay the trail.
	AfterCommit Acknowledgment = iota

	// AfterPublish acknowledges an entry when its checkpoint is published, too.
	// Cutting off an acknowledged entry is then always found. While the bucket
	// fails, nothing is acknowledged. AfterPublish requires [Options.Publish].
	AfterPublish

	// WhenQueued acknowledges the entries of Log before they are stored. It gives
	// up the promise of [audit.Logger]: downloads and links can happen without a
	// record. If the process is killed, up to QueueLength + MaxBatch acknowledged
	// entries are lost without a trace. [Journal.Close] stores the entries of the
	// queue, or returns those that it could not store. While the database is
	// unavailable, entries wait, and Log blocks when the queue is full. An entry
	// of action [audit.ActionGap] counts the entries that the database refused.
	// Begin, Settle, Erase and Purge still wait for their commit, so no file
	// changes without a record.
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

// check refuses values that are out of range or don't fit together.
func (o *Options) check() error {
	switch {
	case o.Timeout < 0:
		return fmt.Errorf("sqlaudit: Options.Timeout is %v: want a positive duration, or 0 for 10 s", o.Timeout)
	case o.MaxBatch < 0 || o.MaxBatch > 1000:
		return fmt.Errorf("sqlaudit: Options.MaxBatch is %d: want 1 to 1000, or 0 for 256", o.MaxBatch)
	case o.QueueLength < 0:
		return fmt.Errorf("sqlaudit: Options.QueueLength is %d: want a positive number, or 0 for 1024", o.QueueLength)
	case len(o.Origin) > 255:
		return fmt.Errorf("sqlaudit: Options.Origin has %d bytes: want at most 255", len(o.Origin))
	case !utf8.ValidString(o.Origin) || strings.ContainsRune(o.Origin, 0):
		return fmt.Errorf("sqlaudit: Options.Origin %q is not text in UTF-8", o.Origin)
	case len(o.TrustedKeys) > 0 && o.DeploymentKey.IsZero():
		return errors.New("sqlaudit: Options.TrustedKeys without DeploymentKey: set the key that certifies this process's own writers")
	case o.Acknowledge < AfterCommit || o.Acknowledge > WhenQueued:
		return fmt.Errorf("sqlaudit: invalid Options.Acknowledge %d: want AfterCommit, AfterPublish or WhenQueued", o.Acknowledge)
	case o.Acknowledge == AfterPublish && o.Publish == nil:
		return errors.New("sqlaudit: Options.Acknowledge is AfterPublish without Publish: want a bucket to publish to")
	}
	return nil
}
