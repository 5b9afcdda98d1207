package audit

import (
	"context"
	"errors"
	"iter"
	"time"
)

var (
	// ErrNoActor reports that the context has no actor. Set one with
	// [WithActor].
	ErrNoActor = errors.New("audit: no actor in the context: set one with audit.WithActor")
	// ErrNotHeld reports that the intent was already settled, or that another
	// caller took it over after its lease expired.
	ErrNotHeld = errors.New("audit: the intent is no longer held")
	// ErrNoIntent reports that no open intent has the given ID.
	ErrNoIntent = errors.New("audit: no open intent with this ID")
	// ErrEvent reports an event that can never be stored, because of a mistake
	// in the program.
	ErrEvent = errors.New("audit: invalid event")
	// ErrUntrusted reports a stored record without a valid signature. Callers
	// must not act on the record, and it remains unchanged.
	ErrUntrusted = errors.New("audit: a stored record has no valid signature")
	// ErrClosed reports that the logger is closed.
	ErrClosed = errors.New("audit: the logger is closed")
)

// Logger stores events. It must be safe for concurrent use.
//
// If an event's Actor is zero, the logger stores it with the actor of ctx, as
// returned by [ActorFrom]. If any field of the Actor is set, the logger adds
// nothing from ctx to it. To store an event without an actor, pass
// WithActor(ctx, Actor{}). The logger also adds the attributes of ctx; see
// [WithAttrs].
//
// These rules hold for the events of Log, the events of [Journal.Begin], and
// the additional events of [Intent.Settle]. Implementations call [PrepareLog],
// or do the same.
type Logger interface {
	// Log stores e. If Log returns nil, e is durable. After an error, it is
	// unknown whether e was stored, and the operation must not proceed. If the
	// event can never be stored, the error wraps [ErrEvent].
	//
	// If ctx is already done, Log returns its error. If ctx ends later, Log
	// stops waiting, but may still store e. Log neither changes nor retains
	// Attrs, SHA256 and Size of e.
	Log(ctx context.Context, e Event) error
}

// Journal is a Logger that stores intents and can therefore recover from
// crashes.
type Journal interface {
	Logger

	// Begin makes e durable as an open intent. The caller holds the intent for
	// the lease; 0 means one minute. Begin returns an error that wraps
	// [ErrEvent] if e.Outcome is not empty or another intent with its OpID is
	// open. After an error, the operation must not take effect. If e has no
	// actor, the intent has the actor of ctx.
	Begin(ctx context.Context, e Event, lease time.Duration) (Intent, error)

	// Dangling yields the open intents whose lease has expired, oldest first.
	// It takes over each intent for q.Lease before yielding it, so that only
	// one of several reconcilers gets it. If the loop ends early, the remaining
	// intents stay dangling.
	//
	// Dangling ends after the last intent or the first error. It skips stored
	// intents that fail verification and reports them last, with an error that
	// wraps [ErrUntrusted]. The loop may use the journal, for example to settle
	// the intent.
	Dangling(ctx context.Context, q DanglingQuery) iter.Seq2[Intent, error]

	// Claim takes over the open intent of an operation for the lease, even if
	// another caller holds it. Use it for operations that a different process
	// finishes. Claim returns [ErrNoIntent] if no open intent matches.
	//
	// If match is not nil, Claim passes it the event of the intent first. If
	// match returns false, the intent remains unchanged. Use match for IDs from
	// outside, which may belong to an operation in progress.
	Claim(ctx context.Context, opID string, lease time.Duration, match func(Event) bool) (Intent, error)
}

// Intent is an operation that has begun and is not yet settled. Renew and
// Settle return [ErrNotHeld] if the intent was settled or taken over. An
// expired lease alone does not end the hold. All methods are safe for
// concurrent use.
type Intent interface {
	// OpID returns the ID of the operation, which is the OpID of its event.
	OpID() string
	// Event returns a copy of the event as stored by Begin.
	Event() Event
	// Renew extends the lease to the given duration from now; 0 means one
	// minute.
	Renew(ctx context.Context, lease time.Duration) error
	// Settle replaces the intent with one entry: the event with the result r.
	// It also appends one entry for each additional event. All of this is one
	// transaction. If Settle returns nil, everything is durable. Otherwise, the
	// intent is dangling at the latest when its lease expires. If the error
	// wraps [ErrEvent], the caller still holds the intent and may settle it
	// with other values.
	//
	// r.Outcome is required. The entry has the actor of the intent, regardless
	// of the actor in ctx. Additional events without an actor get the actor of
	// ctx.
	Settle(ctx context.Context, r Result, also ...Event) error
}

// DanglingQuery selects dangling intents. An empty field selects all.
type DanglingQuery struct {
	Backend string
	Bucket  string
	Lease   time.Duration // how long the caller holds each intent; 0 means one minute
}

// defaultLease is the lease of an intent if the caller passes 0.
const defaultLease = time.Minute

// Reader returns stored entries.
type Reader interface {
	// Entries yields the selected entries in the order of their IDs. It ends
	// after the first error. If an entry cannot be read as it was stored,
	// Entries skips it and reports it in an error after all other entries. The
	// caller may retain the entries, and the loop may use the journal.
	Entries(ctx context.Context, q Query) iter.Seq2[Entry, error]
}

// Query selects entries. The zero value selects all, oldest first. An entry
// must match every field that is set. Text is compared byte for byte.
type Query struct {
	UserID   string
	TenantID string
	Resource Resource // a Type without an ID selects all resources of the type
	Key      string
	OpID     string // entries of this operation, and entries that refer to it
	GrantID  string
	Actions  []Action  // entries with any of these actions
	Outcomes []Outcome // entries with any of these outcomes
	From     time.Time // entries with OccurredAt at or after From
	To       time.Time // entries with OccurredAt before To
	After    string    // the ID of the last entry of the previous page
	Limit    int       // the maximum number of entries; 0 means unlimited

	NewestFirst bool // yield entries in descending order of their IDs

	// Verified selects only entries covered by a signature of their writer, for
	// callers that act on the entries. Entries skips an entry that fails
	// verification and reports it in the last error, which wraps
	// [ErrUntrusted]. In an SQL trail, verifying an entry costs as much as
	// proving it. A trail in the memory of the process needs no verification.
	Verified bool
}
