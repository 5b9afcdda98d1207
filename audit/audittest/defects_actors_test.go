package audittest

import (
	"cmp"
	"context"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// This file contains defects in the actors of entries.

func without(ctx context.Context) context.Context { return audit.WithActor(ctx, audit.Actor{}) }

var actorDefects = []defect{
	{"takes no actor from the context of Log", func(b *broken) {
		b.log = func(ctx context.Context, e audit.Event) error { return b.Memory.Log(without(ctx), e) }
	}, []string{"actors/of the context where an event has none", "actors/text of the context's is cleaned"}},

	{"puts the context's actor in place of the event's", func(b *broken) {
		b.log = func(ctx context.Context, e audit.Event) error {
			if a, ok := audit.ActorFrom(ctx); ok {
				e.Actor = a
			}
			return b.Memory.Log(ctx, e)
		}
	}, []string{"actors/an event keeps its own"}},

	{"adds the context's actor to the event's", func(b *broken) {
		b.log = func(ctx context.Context, e audit.Event) error {
			a, _ := audit.ActorFrom(ctx)
			e.Actor.UserID, e.Actor.IP = cmp.Or(e.Actor.UserID, a.UserID), cmp.Or(e.Actor.IP, a.IP)
			return b.Memory.Log(ctx, e)
		}
	}, []string{"actors/an event keeps its own"}},

	{"keeps the last actor that it saw", func(b *broken) {
		last := anna
		b.log = func(ctx context.Context, e audit.Event) error {
			if a, ok := audit.ActorFrom(ctx); ok {
				last = a
			}
			return b.Memory.Log(audit.WithActor(ctx, last), e)
		}
	}, []string{"actors/none without one in the context"}},

	{"takes no actor from the context of Begin", func(b *broken) {
		b.begin = func(ctx context.Context, e audit.Event, d time.Duration) (audit.Intent, error) {
			return b.Memory.Begin(without(ctx), e, d)
		}
	}, []string{"actors/an intent has the one of Begin", "actors/an intent keeps its own when it is taken over"}},

	{"takes no actor from the context of Settle", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			return in.Settle(without(ctx), r, also...)
		}
	}, []string{"actors/an intent has the one of Begin", "actors/an intent without one stays without"}},

	{"gives an operation to the one who settles it", func(b *broken) {
		settlers := make(map[string]audit.Actor)
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			settlers[in.OpID()], _ = audit.ActorFrom(ctx)
			return in.Settle(ctx, r, also...)
		}
		edited(b, func(en *audit.Entry) bool {
			if a, ok := settlers[en.OpID]; ok && en.Actor.IsZero() {
				en.Actor = a
			}
			return true
		})
	}, []string{"actors/an intent without one stays without", "actors/an intent keeps its own when it is taken over"}},
}
