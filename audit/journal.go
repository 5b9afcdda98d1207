package audit

import (
	"context"
	"errors"
	"iter"
	"time"
)

var (
	// ErrNoActor: the context carries no actor; see [WithActor].
	ErrNoActor = errors.New("audit: no actor in the context: set one with audit.WithActor")
	// ErrNotHeld: the intent was settled already, or its lease ran out and
	// somebody else took it over.
	ErrNotHeld = errors.New("audit: the intent is no longer held")
	// ErrNoIntent: there is no open intent of that id.
	ErrNoIntent = errors.New("audit: no such open intent")
	// ErrEvent: the event can't be stored because of a mistake in the program
	// that made it.
	ErrEvent = errors.New("audit: bad event")
	// ErrUntrusted: a stored record does not carry the signature that it needs
	// to be acted upon. It is left as it is.
	ErrUntrusted = errors.New("audit: a stored record does not verify")
	// ErrClosed: the logger is closed.
	ErrClosed = errors.New("audit: closed")
)

// Logger stores events. It must be safe for concurrent use.
//
// An event whose Actor is the zero one is stored with the actor of ctx, as
// [ActorFrom] returns it, if there is one. An event with any field of its Actor
// set keeps it as it is; nothing is added from ctx. The rule holds for the
// events of Log, for those of [Journal.Begin], and for the further events of
// [Intent.Settle]. To store an event without an actor, pass a context without
// one: WithActor(ctx, Actor{}). The attributes of ctx (see [WithAttrs]) are added
// to all these events. Implementations call [PrepareLog], which does
// it, or do the same.
type Logger interface {
	// Log stores e. A nil error means that e is durable. After an error e may
	// or may not have been stored; whatever depends on it must not happen.
	// The error for an event that can't be stored whatever one does wraps
	// [ErrEvent]. A ctx that is done already is refused with its error; one
	// that is done later ends the wait, not necessarily the storing. What e
	// refers to (Attrs, SHA256, Size) is neither changed nor kept.
	Log(ctx context.Context, e Event) error
}

// Journal is a Logger that holds intents, which makes it safe against crashes.
type Journal interface {
	Logger

	// Begin makes e durable as an open intent, held by the caller for the
	// lease (0: a minute). e.Outcome must be empty, and no other intent of
	// its OpID open; else the error wraps [ErrEvent]. On an error the effect
	// must not happen. If e has no actor, the intent has that of ctx.
	Begin(ctx context.Context, e Event, lease time.Duration) (Intent, error)

	// Dangling yields the open intents whose lease has run out, oldest first.
	// Each is taken over by the caller for q.Lease before it is yielded, so
	// that of several reconcilers one gets it; an intent that the loop did not
	// reach stays dangling. It ends when none is left, or after the first
	// error. A stored intent that does not verify is left alone and does not hold
	// up the others: the error about it comes last and wraps [ErrUntrusted].
	// The loop may use the journal, such as to settle what it is given.
	Dangling(ctx context.Context, q DanglingQuery) iter.Seq2[Intent, error]

	// Claim takes the open intent of that operation over for the lease,
	// whoever holds it. It is for operations that are finished by another
	// process than the one that began them. match, if not nil, is asked first
	// about the intent's event, and what it refuses is left as it is: an id
	// that came from outside may be that of an operation under way.
	// [ErrNoIntent] if there is none that matches.
	Claim(ctx context.Context, opID string, lease time.Duration, match func(Event) bool) (Intent, error)
}

// Intent is an operation that was begun and is not yet settled. Renew and
// Settle fail with [ErrNotHeld] once it is settled or was taken over, and only
// then: a lease that ran out unnoticed takes nothing away. All methods may be
// called concurrently.
type Intent interface {
	// OpID is the ID of the operation, the OpID of its event.
	OpID() string
	// Event is the event as stored by Begin, a copy for the caller to keep.
	Event() Event
	// Renew extends the lease, so that it ends that long from now
	// (0: a minute).
	Renew(ctx context.Context, lease time.Duration) error
	// Settle replaces the intent by one entry, the event with the result, and
	// appends an entry for each further event, in one transaction: either all
	// of it is durable (nil) or, at the latest when the lease runs out, the
	// intent is dangling. r.Outcome is required. An error that wraps
	// [ErrEvent] leaves the intent held, to be settled otherwise. The entry
	// keeps the intent's actor, whoever settles it; the actor of ctx is only
	// for further events that have none.
	Settle(ctx context.Context, r Result, also ...Event) error
}

// DanglingQuery selects dangling intents. Empty fields select all.
type DanglingQuery struct {
	Backend string
	Bucket  string
	Lease   time.Duration // how long each is held for the caller; 0: a minute
}

// defaultLease is how long an intent is held when no lease is given.
const defaultLease = time.Minute

// Reader gives back what was stored.
type Reader interface {
	// Entries yields the entries that q selects, in the order of their IDs.
	// It ends after the first error. An entry that can't be read as it was
	// stored is left out, and the error that names it comes last, after all
	// others. The entries are the caller's to keep, and the loop may use the
	// journal.
	Entries(ctx context.Context, q Query) iter.Seq2[Entry, error]
}

// Query selects entries; the zero value selects all, oldest first. The fields
// that are set must all match, text byte for byte.
type Query struct {
	UserID   string
	TenantID string
	Resource Resource // a Type without an ID selects all of that type
	Key      string
	OpID     string // entries of this operation, and those that refer to it
	GrantID  string
	Actions  []Action  // any of these
	Outcomes []Outcome // any of these
	From     time.Time // OccurredAt at or after
	To       time.Time // OccurredAt before
	After    string    // the ID of the last entry of the previous page
	Limit    int       // at most that many; 0: all

	NewestFirst bool // in descending instead of ascending order

	// Verified yields only entries whose writer's signature covers them, for
	// callers that act on what they read. An entry that does not verify is left
	// out, and the last error names it and wraps [ErrUntrusted]. In an SQL trail
	// each entry costs as much as its proof. A trail in the memory of the process
	// needs no check.
	Verified bool
}
