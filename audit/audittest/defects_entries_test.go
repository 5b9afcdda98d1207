package audittest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// This file contains defects in stored events.

var entryDefects = []defect{
	{"loses every tenth event", func(b *broken) {
		var n atomic.Int64
		b.log = func(ctx context.Context, e audit.Event) error {
			if n.Add(1)%10 == 0 {
				return nil
			}
			return b.Memory.Log(ctx, e)
		}
	}, []string{"crowd/64 writers", "crowd/readers while it grows"}},

	{"doubles every tenth event", func(b *broken) {
		var n atomic.Int64
		b.log = func(ctx context.Context, e audit.Event) error {
			if n.Add(1)%10 == 0 {
				_ = b.Memory.Log(ctx, e)
			}
			return b.Memory.Log(ctx, e)
		}
	}, []string{"crowd/64 writers", "crowd/readers while it grows"}},

	{"leaves gaps", func(b *broken) {
		edited(b, func(en *audit.Entry) bool { en.Seq *= 2; return true })
	}, []string{"crowd/64 writers", "entries/one for each event", "entries/bad events are refused"}},

	{"mints ids in no order", func(b *broken) {
		edited(b, func(en *audit.Entry) bool { en.ID = "0198f2e0-0000-7000-8000-000000000000"; return true })
	}, []string{"crowd/64 writers", "entries/one for each event"}},

	{"takes bad events for good", func(b *broken) {
		b.log = func(ctx context.Context, e audit.Event) error {
			_ = b.Memory.Log(ctx, e)
			return nil
		}
	}, []string{"entries/bad events are refused", "crowd/bad events among good ones"}},

	{"refuses hostile text", func(b *broken) {
		b.log = func(ctx context.Context, e audit.Event) error {
			if strings.ContainsAny(e.Key, "\x00") {
				return fmt.Errorf("invalid byte sequence")
			}
			return b.Memory.Log(ctx, e)
		}
	}, []string{"text/hostile in every field"}},

	{"ends text at its first quote", func(b *broken) {
		edited(b, func(en *audit.Entry) bool { en.Key, _, _ = strings.Cut(en.Key, "'"); return true })
	}, []string{"text/hostile in every field", "text/hostile beside its neighbours"}},

	{"cuts text by characters of one byte", func(b *broken) {
		edited(b, func(en *audit.Entry) bool {
			if len(en.Key) > 1000 {
				en.Key = en.Key[:1000]
			}
			return true
		})
	}, []string{"text/every field at its limit", "text/over-long is cut"}},

	{"trims blanks", func(b *broken) {
		edited(b, func(en *audit.Entry) bool { en.Actor.UserID = strings.TrimSpace(en.Actor.UserID); return true })
	}, []string{"text/hostile in every field"}},

	{"does not know an unknown size", func(b *broken) {
		edited(b, func(en *audit.Entry) bool {
			if en.Size == nil {
				en.Size = new(int64)
			}
			return true
		})
	}, []string{"entries/unknown size is not zero", "entries/nothing set, nothing comes back"}},

	{"keeps no size of 0", func(b *broken) {
		edited(b, func(en *audit.Entry) bool {
			if en.Size != nil && *en.Size == 0 {
				en.Size = nil
			}
			return true
		})
	}, []string{"entries/unknown size is not zero", "leases/event outlives a takeover"}},

	{"keeps milliseconds", func(b *broken) {
		edited(b, func(en *audit.Entry) bool { en.OccurredAt = en.OccurredAt.Truncate(time.Millisecond); return true })
	}, []string{"entries/times are UTC in microseconds", "entries/all fields come back"}},

	{"answers in another zone", func(b *broken) {
		edited(b, func(en *audit.Entry) bool { en.OccurredAt = en.OccurredAt.In(time.FixedZone("", 3600)); return true })
	}, []string{"entries/times are UTC in microseconds", "entries/all fields come back"}},

	{"folds the names of attrs", func(b *broken) {
		edited(b, func(en *audit.Entry) bool {
			folded := map[string]string{}
			for k, v := range en.Attrs {
				folded[strings.ToLower(k)] = v
			}
			if len(folded) > 0 {
				en.Attrs = folded
			}
			return true
		})
	}, []string{"entries/attrs of any text"}},

	{"gives empty attrs for none", func(b *broken) {
		edited(b, func(en *audit.Entry) bool {
			if en.Attrs == nil {
				en.Attrs = map[string]string{}
			}
			return true
		})
	}, []string{"entries/nothing set, nothing comes back"}},

	{"gives out its own entries", func(b *broken) {
		kept := map[string]audit.Event{}
		edited(b, func(en *audit.Entry) bool {
			if _, found := kept[en.ID]; !found {
				kept[en.ID] = en.Event
			}
			en.Event = kept[en.ID]
			return true
		})
	}, []string{"entries/are copies"}},

	{"keeps the caller's maps", func(b *broken) {
		kept := map[string]map[string]string{}
		b.log = func(ctx context.Context, e audit.Event) error {
			kept[e.OpID] = e.Attrs
			return b.Memory.Log(ctx, e)
		}
		edited(b, func(en *audit.Entry) bool { en.Attrs = maps.Clone(kept[en.OpID]); return true })
	}, []string{"entries/caller's maps are not kept"}},

	{"does not look at the context", func(b *broken) {
		b.log = func(ctx context.Context, e audit.Event) error {
			return b.Memory.Log(context.WithoutCancel(ctx), e)
		}
	}, []string{"entries/done context is refused"}},

	{"settles though the context is done", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			return in.Settle(context.WithoutCancel(ctx), r, also...)
		}
	}, []string{"entries/done context is refused"}},

	{"stores an operation once only", func(b *broken) {
		seen := map[string]bool{}
		edited(b, func(en *audit.Entry) bool {
			first := !seen[en.OpID]
			seen[en.OpID] = true
			return first
		})
	}, []string{"entries/events of one operation"}},
}
