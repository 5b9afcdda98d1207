package audit

import "context"

// Actor identifies the person or program that acts. All fields except
// TenantID are personal data: they can be erased from stored entries later.
type Actor struct {
	UserID    string // the application's ID of the user; at most 255 bytes
	TenantID  string // the customer or organization of the user; at most 255 bytes
	IP        string // the source address of the request; at most 64 bytes
	UserAgent string // at most 512 bytes
	RequestID string // at most 255 bytes
}

// IsZero reports whether all fields of the actor are empty. Such an actor
// counts as missing.
func (a Actor) IsZero() bool { return a == Actor{} }

type actorKey struct{}

// WithActor returns a context with the actor a. Call it once, in middleware or
// at the start of a job. Stores and loggers take the actor from the context. If
// a is the zero Actor, the returned context has no actor.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the actor in ctx. It returns false if ctx has no actor or a
// zero one.
func ActorFrom(ctx context.Context) (Actor, bool) {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a, !a.IsZero()
}
