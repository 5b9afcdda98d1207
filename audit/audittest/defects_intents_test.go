package audittest

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// This file contains defects in beginning, holding, finding and settling
// intents.

var intentDefects = []defect{
	{"stores an entry twice", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			if err := in.Settle(ctx, r, also...); err != nil {
				return err
			}
			return b.Memory.Log(ctx, in.Event().With(r))
		}
	}, []string{"intents/settled by one entry", "intents/many open, settled in any order", "crowd/64 writers"}},

	{"loses a settlement", func(b *broken) {
		b.settle = func(context.Context, audit.Intent, audit.Result, []audit.Event) error { return nil }
	}, []string{"intents/settled by one entry", "intents/settled twice", "leases/taken over, settled by both"}},

	{"leaves the intent when it is settled", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			return b.Memory.Log(ctx, in.Event().With(r))
		}
	}, []string{"intents/settled by one entry", "intents/settled by many at once", "leases/renewed after it was settled"}},

	{"says nothing to who settles late", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			if err := in.Settle(ctx, r, also...); err != nil && !isLost(err) {
				return err
			}
			return nil
		}
	}, []string{"intents/settled twice", "leases/takeover fences the former holder"}},

	{"lets the former holder settle", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			now, err := b.Memory.Claim(ctx, in.OpID(), time.Minute, nil)
			if err != nil {
				return audit.ErrNotHeld
			}
			return now.Settle(ctx, r, also...)
		}
	}, []string{"leases/takeover fences the former holder", "leases/claimed from a live holder"}},

	{"lets the former holder renew", func(b *broken) {
		b.renew = func(ctx context.Context, in audit.Intent, d time.Duration) error {
			_, err := b.Memory.Claim(ctx, in.OpID(), d, nil)
			return err
		}
	}, []string{"leases/takeover fences the former holder", "leases/renewed after it was settled"}},

	{"does not renew", func(b *broken) {
		b.renew = func(context.Context, audit.Intent, time.Duration) error { return nil }
	}, []string{"leases/renewed", "leases/renewed to end sooner", "leases/renewed after it was settled"}},

	{"refuses a holder whose lease ran out", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			for range b.Memory.Dangling(ctx, audit.DanglingQuery{Lease: time.Nanosecond}) {
			}
			return in.Settle(ctx, r, also...)
		}
	}, []string{"leases/ran out unnoticed"}},

	{"forgets further events", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, _ []audit.Event) error {
			return in.Settle(ctx, r)
		}
	}, []string{"intents/further events, in order", "intents/bad further event settles nothing", "crowd/64 writers"}},

	{"stores further events afterwards", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			if err := in.Settle(ctx, r); err != nil {
				return err
			}
			for _, e := range also {
				if err := b.Memory.Log(ctx, e); err != nil {
					return err
				}
			}
			return nil
		}
	}, []string{"intents/bad further event settles nothing"}},

	{"turns further events round", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			also = slices.Clone(also)
			slices.Reverse(also)
			return in.Settle(ctx, r, also...)
		}
	}, []string{"intents/further events, in order"}},

	{"forgets the result", func(b *broken) {
		b.settle = func(ctx context.Context, in audit.Intent, r audit.Result, also []audit.Event) error {
			return in.Settle(ctx, audit.Result{Outcome: r.Outcome}, also...)
		}
	}, []string{"intents/result joins the event", "intents/ends badly", "intents/settled by the reconciler"}},

	{"begins what has ended", func(b *broken) {
		b.begin = func(ctx context.Context, e audit.Event, d time.Duration) (audit.Intent, error) {
			e.Outcome = ""
			return b.Memory.Begin(ctx, e, d)
		}
	}, []string{"intents/begun with an outcome"}},

	{"begins an operation twice", func(b *broken) {
		var mu sync.Mutex // so that it happens despite concurrent calls
		b.begin = func(ctx context.Context, e audit.Event, d time.Duration) (audit.Intent, error) {
			mu.Lock()
			defer mu.Unlock()
			if in, err := b.Memory.Claim(ctx, e.OpID, d, nil); err == nil {
				return in, nil
			}
			return b.Memory.Begin(ctx, e, d)
		}
	}, []string{"intents/operation open already", "intents/operation begun by many at once"}},

	{"logs the intent as well", func(b *broken) {
		b.begin = func(ctx context.Context, e audit.Event, d time.Duration) (audit.Intent, error) {
			in, err := b.Memory.Begin(ctx, e, d)
			if err == nil {
				e = in.Event()
				e.Outcome = audit.OutcomeBegun
				err = b.Memory.Log(ctx, e)
			}
			return in, err
		}
	}, []string{"intents/begun, no entry yet", "intents/settled by one entry"}},

	{"gives out its own event", func(b *broken) {
		var mu sync.Mutex
		kept := map[string]audit.Event{}
		b.event = func(in audit.Intent) audit.Event {
			mu.Lock()
			defer mu.Unlock()
			if _, found := kept[in.OpID()]; !found {
				kept[in.OpID()] = in.Event()
			}
			return kept[in.OpID()]
		}
	}, []string{"intents/event as stored, a copy"}},

	{"gives leases of an hour", func(b *broken) {
		b.begin = func(ctx context.Context, e audit.Event, _ time.Duration) (audit.Intent, error) {
			return b.Memory.Begin(ctx, e, time.Hour)
		}
	}, []string{"leases/run out, dangling once", "leases/zero is a minute", "dangling/oldest first"}},

	{"gives no leases", func(b *broken) {
		b.begin = func(ctx context.Context, e audit.Event, _ time.Duration) (audit.Intent, error) {
			return b.Memory.Begin(ctx, e, time.Nanosecond)
		}
	}, []string{"leases/held, not dangling", "leases/zero is a minute"}},

	{"finds nothing that dangles", func(b *broken) {
		b.dangling = func(context.Context, audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
			return func(func(audit.Intent, error) bool) {}
		}
	}, []string{"leases/run out, dangling once", "dangling/each to one of many reconcilers", "dangling/left by another process"}},

	{"takes all over before it yields the first", func(b *broken) {
		b.dangling = func(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
			taken := all(b.Memory.Dangling(ctx, q))
			return func(yield func(audit.Intent, error) bool) {
				for _, in := range taken {
					if !yield(in, nil) {
						return
					}
				}
			}
		}
	}, []string{"dangling/break leaves the others", "dangling/settled meanwhile"}},

	{"gives an intent to each who asks", func(b *broken) {
		b.dangling = func(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
			q.Lease = time.Nanosecond
			return b.Memory.Dangling(ctx, q)
		}
	}, []string{"leases/run out, dangling once"}},

	{"gives an intent out twice", func(b *broken) {
		b.dangling = func(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
			return func(yield func(audit.Intent, error) bool) {
				for in, err := range b.Memory.Dangling(ctx, q) {
					if !yield(in, err) || !yield(in, err) {
						return
					}
				}
			}
		}
	}, []string{"dangling/each to one of many reconcilers", "leases/run out, dangling once"}},

	{"forgets to filter by bucket", func(b *broken) {
		b.dangling = func(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
			q.Bucket = ""
			return b.Memory.Dangling(ctx, q)
		}
	}, []string{"dangling/by backend and bucket"}},

	{"goes backwards", func(b *broken) {
		b.dangling = func(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
			taken := all(b.Memory.Dangling(ctx, q))
			slices.Reverse(taken)
			return func(yield func(audit.Intent, error) bool) {
				for _, in := range taken {
					if !yield(in, nil) {
						return
					}
				}
			}
		}
	}, []string{"dangling/oldest first"}},

	{"claims what does not match", func(b *broken) {
		b.claim = func(ctx context.Context, id string, d time.Duration, _ func(audit.Event) bool) (audit.Intent, error) {
			return b.Memory.Claim(ctx, id, d, nil)
		}
	}, []string{"leases/claim of what matches"}},

	{"claims before it asks", func(b *broken) {
		b.claim = func(ctx context.Context, id string, d time.Duration, match func(audit.Event) bool) (audit.Intent, error) {
			in, err := b.Memory.Claim(ctx, id, d, nil)
			if err == nil && match != nil && !match(in.Event()) {
				return nil, audit.ErrNoIntent
			}
			return in, err
		}
	}, []string{"leases/claim of what matches"}},

	{"claims what is not there", func(b *broken) {
		b.claim = func(ctx context.Context, id string, d time.Duration, match func(audit.Event) bool) (audit.Intent, error) {
			if in, err := b.Memory.Claim(ctx, id, d, match); err == nil {
				return in, nil
			}
			return (&audit.Memory{}).Begin(ctx, upload("k"), d)
		}
	}, []string{"leases/claim of no open intent"}},

	{"claims without taking over", func(b *broken) {
		var held sync.Map
		b.begin = func(ctx context.Context, e audit.Event, d time.Duration) (audit.Intent, error) {
			in, err := b.Memory.Begin(ctx, e, d)
			if err == nil {
				held.Store(in.OpID(), in)
			}
			return in, err
		}
		b.claim = func(_ context.Context, id string, _ time.Duration, _ func(audit.Event) bool) (audit.Intent, error) {
			if in, found := held.Load(id); found {
				return in.(audit.Intent), nil
			}
			return nil, audit.ErrNoIntent
		}
	}, []string{"leases/claimed from a live holder", "leases/claim of no open intent"}},
}
