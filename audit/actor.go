package audit

import "context"

// Actor is who acts. All fields but TenantID are personal: they can be erased
// from stored entries later.
type Actor struct {
	UserID    string // the host's own id of the user; at most 255 bytes
	TenantID  string // the customer or organisation that the user acts for; at most 255 bytes
	IP        string // where the request came from; at most 64 bytes
	UserAgent string // at most 512 bytes
	RequestID string // at most 255 bytes
}

// IsZero reports whether nothing at all is known of the actor, which counts as
// a missing one.
func (a Actor) IsZero() bool { return a == Actor{} }

type actorKey struct{}

// WithActor returns a context that carries a. It is set once, by a middleware
// or at the start of a job. Stores and loggers take the actor from it; a zero a
// gives a context without an actor.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the actor in ctx; false if there is none or a zero one.
func ActorFrom(ctx context.Context) (Actor, bool) {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a, !a.IsZero()
}
