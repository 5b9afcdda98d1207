package audit

import (
	"context"
	"maps"
)

type attrsKey struct{}

// WithAttrs returns a context whose attributes are added to every event that is
// recorded with it, such as a ticket number or a session. They are merged with
// those that ctx already carries; for a name that both have, attrs wins, and over
// both wins [Event.Attrs] of the event itself. The limits of Event.Attrs apply to
// the result. Never put a secret or a signed URL here.
func WithAttrs(ctx context.Context, attrs map[string]string) context.Context {
	return context.WithValue(ctx, attrsKey{}, merged(attrsFrom(ctx), attrs))
}

func attrsFrom(ctx context.Context) map[string]string {
	attrs, _ := ctx.Value(attrsKey{}).(map[string]string)
	return attrs
}

// merged returns under and over in a new map; over wins.
func merged(under, over map[string]string) map[string]string {
	if len(under)+len(over) == 0 {
		return nil
	}
	out := make(map[string]string, len(under)+len(over))
	maps.Copy(out, under)
	maps.Copy(out, over)
	return out
}
