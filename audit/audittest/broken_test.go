package audittest

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// These tests run the suite against journals with one defect each. The cases
// for that defect must fail.

// recorder records a case's failures in place of the test.
type recorder struct {
	testing.TB
	failed atomic.Bool
}

func (r *recorder) Errorf(string, ...any) { r.failed.Store(true) }
func (r *recorder) Error(...any)          { r.failed.Store(true) }
func (r *recorder) Fail()                 { r.failed.Store(true) }
func (r *recorder) Failed() bool          { return r.failed.Load() }
func (r *recorder) FailNow()              { r.failed.Store(true); runtime.Goexit() }
func (r *recorder) Fatal(...any)          { r.FailNow() }
func (r *recorder) Fatalf(string, ...any) { r.FailNow() }

// fails reports whether the case fails on a journal with the defect made by
// spoil.
func fails(t *testing.T, c testCase, spoil func(*broken)) bool {
	var ahead atomic.Int64
	m := &audit.Memory{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
	b := &broken{Memory: m}
	if spoil != nil {
		spoil(b)
	}
	r := &recorder{TB: t}
	var wg sync.WaitGroup
	wg.Go(func() { // in a new goroutine, because FailNow ends it
		c.on(r, Harness{
			Open:        func(testing.TB) Journal { return b },
			Advance:     func(_ testing.TB, d time.Duration) { ahead.Add(int64(d)) },
			OpenIntents: func(testing.TB) int { return m.OpenIntents() },
		})
	})
	wg.Wait()
	return r.failed.Load()
}

// broken is a correct journal, except for replaced calls.
type broken struct {
	*audit.Memory
	log      func(context.Context, audit.Event) error
	begin    func(context.Context, audit.Event, time.Duration) (audit.Intent, error)
	claim    func(context.Context, string, time.Duration, func(audit.Event) bool) (audit.Intent, error)
	dangling func(context.Context, audit.DanglingQuery) iter.Seq2[audit.Intent, error]
	entries  func(context.Context, audit.Query) iter.Seq2[audit.Entry, error]
	settle   func(context.Context, audit.Intent, audit.Result, []audit.Event) error
	renew    func(context.Context, audit.Intent, time.Duration) error
	event    func(audit.Intent) audit.Event
}

type brokenIntent struct {
	audit.Intent
	b *broken
}

func (b *broken) Log(ctx context.Context, e audit.Event) error {
	if b.log != nil {
		return b.log(ctx, e)
	}
	return b.Memory.Log(ctx, e)
}

func (b *broken) Begin(ctx context.Context, e audit.Event, d time.Duration) (audit.Intent, error) {
	if b.begin != nil {
		return b.wrap(b.begin(ctx, e, d))
	}
	return b.wrap(b.Memory.Begin(ctx, e, d))
}

func (b *broken) Claim(ctx context.Context, id string, d time.Duration, match func(audit.Event) bool) (audit.Intent, error) {
	if b.claim != nil {
		return b.wrap(b.claim(ctx, id, d, match))
	}
	return b.wrap(b.Memory.Claim(ctx, id, d, match))
}

func (b *broken) wrap(in audit.Intent, err error) (audit.Intent, error) {
	if in == nil {
		return nil, err
	}
	return brokenIntent{in, b}, err
}

func (b *broken) Dangling(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
	inner := b.Memory.Dangling
	if b.dangling != nil {
		inner = b.dangling
	}
	return func(yield func(audit.Intent, error) bool) {
		for in, err := range inner(ctx, q) {
			if !yield(b.wrap(in, err)) {
				return
			}
		}
	}
}

func (b *broken) Entries(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
	if b.entries != nil {
		return b.entries(ctx, q)
	}
	return b.Memory.Entries(ctx, q)
}

func (in brokenIntent) Event() audit.Event {
	if in.b.event != nil {
		return in.b.event(in.Intent)
	}
	return in.Intent.Event()
}

func (in brokenIntent) Renew(ctx context.Context, d time.Duration) error {
	if in.b.renew != nil {
		return in.b.renew(ctx, in.Intent, d)
	}
	return in.Intent.Renew(ctx, d)
}

func (in brokenIntent) Settle(ctx context.Context, r audit.Result, also ...audit.Event) error {
	if in.b.settle != nil {
		return in.b.settle(ctx, in.Intent, r, also)
	}
	return in.Intent.Settle(ctx, r, also...)
}

// edited passes every entry through edit, which may drop it.
func edited(b *broken, edit func(*audit.Entry) bool) {
	b.entries = func(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
		return func(yield func(audit.Entry, error) bool) {
			for en, err := range b.Memory.Entries(ctx, q) {
				if err == nil && !edit(&en) {
					continue
				}
				if !yield(en, err) {
					return
				}
			}
		}
	}
}

// asked changes every query before it reaches the journal.
func asked(change func(*audit.Query)) func(*broken) {
	return func(b *broken) {
		b.entries = func(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
			change(&q)
			return b.Memory.Entries(ctx, q)
		}
	}
}

func all[T any](seq iter.Seq2[T, error]) (out []T) {
	for x, err := range seq {
		if err == nil {
			out = append(out, x)
		}
	}
	return out
}

type defect struct {
	name  string
	spoil func(*broken)
	cases []string // each of them must detect the defect
}

func TestTheSuiteFindsDefects(t *testing.T) {
	byName := map[string]testCase{}
	for _, c := range allCases() {
		require.NotContains(t, byName, c.name, "two cases of one name")
		byName[c.name] = c
	}
	seen := map[string]bool{}
	defects := slices.Concat(intentDefects, entryDefects, actorDefects, queryDefects)
	for _, d := range defects {
		t.Run(d.name, func(t *testing.T) {
			for _, name := range d.cases {
				c, found := byName[name]
				require.True(t, found, "no case %q", name)
				assert.True(t, fails(t, c, d.spoil), "%q passes on a journal that %s", name, d.name)
				seen[name] = true
			}
		})
	}
	t.Logf("%d defects; %d of %d cases were seen to fail", len(defects), len(seen), len(byName))
}

// Without a defect, no case fails.
func TestTheSuitePassesWhatIsSound(t *testing.T) {
	for _, c := range allCases() {
		assert.False(t, fails(t, c, nil), c.name)
	}
}
