package audit

import (
	"context"
	"maps"
)

type attrsKey struct{}

// WithAttrs returns a context whose attributes are added to every event
// recorded with it. Examples are a ticket number or a session. WithAttrs merges
// attrs with the attributes already in ctx. If both have the same name, attrs
// takes precedence, and [Event.Attrs] takes precedence over both. The limits of
// Event.Attrs apply to the result. Never put a secret or a signed URL here.
func WithAttrs(ctx context.Context, attrs map[string]string) context.Context {
	return context.WithValue(ctx, attrsKey{}, merged(attrsFrom(ctx), attrs))
}

func attrsFrom(ctx context.Context) map[string]string {
	attrs, _ := ctx.Value(attrsKey{}).(map[string]string)
	return attrs
}

// merged returns a new map with the members of under and over. If both have a
// name, the value of over is used.
func merged(under, over map[string]string) map[string]string {
	if len(under)+len(over) == 0 {
		return nil
	}
	out := make(map[string]string, len(under)+len(over))
	maps.Copy(out, under)
	maps.Copy(out, over)
	return out
}
