package audittest

import (
	"context"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// This file contains defects in the selection of queries.

var queryDefects = []defect{
	{"ignores the user", asked(func(q *audit.Query) { q.UserID = "" }), []string{"queries/by user", "queries/pages, oldest first"}},
	{"ignores the tenant", asked(func(q *audit.Query) { q.TenantID = "" }), []string{"queries/by tenant"}},
	{"ignores the resource's id", asked(func(q *audit.Query) { q.Resource.ID = "" }), []string{"queries/by resource", "queries/by id of resource"}},
	{"ignores the resource's type", asked(func(q *audit.Query) { q.Resource.Type = "" }), []string{"queries/by resource", "queries/by type of resource"}},
	{"ignores the key", asked(func(q *audit.Query) { q.Key = "" }), []string{"queries/by key"}},
	{"ignores the operation", asked(func(q *audit.Query) { q.OpID = "" }), []string{"queries/by operation, and what refers to it"}},
	{"ignores the grant", asked(func(q *audit.Query) { q.GrantID = "" }), []string{"queries/by grant"}},
	{"ignores actions", asked(func(q *audit.Query) { q.Actions = nil }), []string{"queries/by action", "queries/by several actions"}},
	{"takes the first action only", asked(func(q *audit.Query) {
		if len(q.Actions) > 1 {
			q.Actions = q.Actions[:1]
		}
	}), []string{"queries/by several actions"}},
	{"ignores outcomes", asked(func(q *audit.Query) { q.Outcomes = nil }), []string{"queries/by outcome", "queries/by several outcomes"}},
	{"ignores from", asked(func(q *audit.Query) { q.From = time.Time{} }), []string{"queries/from, inclusive"}},
	{"takes from as exclusive", asked(func(q *audit.Query) {
		if !q.From.IsZero() {
			q.From = q.From.Add(time.Microsecond)
		}
	}), []string{"queries/from, inclusive", "queries/from and to"}},
	{"takes to as inclusive", asked(func(q *audit.Query) {
		if !q.To.IsZero() {
			q.To = q.To.Add(time.Microsecond)
		}
	}), []string{"queries/to, exclusive", "queries/from and to", "queries/from and to, the same"}},
	{"ignores the order", asked(func(q *audit.Query) { q.NewestFirst = false }), []string{"queries/newest first", "queries/limit, newest first"}},
	{"ignores the limit", asked(func(q *audit.Query) { q.Limit = 0 }), []string{"queries/limit", "queries/pages, oldest first"}},
	{"takes one less than the limit", asked(func(q *audit.Query) { q.Limit-- }), []string{"queries/limit", "queries/limit, newest first"}},
	{"limits before it filters", func(b *broken) {
		b.entries = func(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
			return func(yield func(audit.Entry, error) bool) {
				for en, err := range b.Memory.Entries(ctx, audit.Query{NewestFirst: q.NewestFirst, Limit: q.Limit, After: q.After}) {
					if err == nil && q.UserID != "" && en.Actor.UserID != q.UserID {
						continue
					}
					if !yield(en, err) {
						return
					}
				}
			}
		}
	}, []string{"queries/pages, oldest first"}},
	{"finds keys in any case", func(b *broken) {
		b.entries = func(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
			key := q.Key
			q.Key = ""
			return func(yield func(audit.Entry, error) bool) {
				for en, err := range b.Memory.Entries(ctx, q) {
					if err == nil && key != "" && !strings.EqualFold(en.Key, key) {
						continue
					}
					if !yield(en, err) {
						return
					}
				}
			}
		}
	}, []string{"queries/by key", "queries/by key, in capitals"}},
	{"does not find what refers to an operation", func(b *broken) {
		b.entries = func(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
			return func(yield func(audit.Entry, error) bool) {
				for en, err := range b.Memory.Entries(ctx, q) {
					if err == nil && q.OpID != "" && en.OpID != q.OpID {
						continue
					}
					if !yield(en, err) {
						return
					}
				}
			}
		}
	}, []string{"queries/by operation, and what refers to it"}},
	{"holds its lock while it yields", func(b *broken) {
		var mu sync.Mutex
		var reading atomic.Bool
		b.log = func(ctx context.Context, e audit.Event) error {
			if reading.Load() {
				return context.DeadlineExceeded // the error that a caller gets from a deadlocked journal
			}
			return b.Memory.Log(ctx, e)
		}
		b.entries = func(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
			return func(yield func(audit.Entry, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				reading.Store(true)
				defer reading.Store(false)
				for en, err := range b.Memory.Entries(ctx, q) {
					if !yield(en, err) {
						return
					}
				}
			}
		}
	}, []string{"queries/leaving the loop, using the journal in it"}},
	{"goes on after an error", func(b *broken) {
		b.entries = func(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
			return func(yield func(audit.Entry, error) bool) {
				for _, en := range all(b.Memory.Entries(ctx, q)) {
					if !yield(en, ctx.Err()) {
						return
					}
				}
			}
		}
		b.dangling = func(ctx context.Context, q audit.DanglingQuery) iter.Seq2[audit.Intent, error] {
			return func(yield func(audit.Intent, error) bool) {
				for _, in := range all(b.Memory.Dangling(ctx, q)) {
					if !yield(in, ctx.Err()) {
						return
					}
				}
			}
		}
	}, []string{"queries/ends after its first error", "dangling/ends after its first error"}},
	{"ends a canceled sequence without an error", func(b *broken) {
		b.entries = func(ctx context.Context, q audit.Query) iter.Seq2[audit.Entry, error] {
			return func(yield func(audit.Entry, error) bool) {
				for _, en := range all(b.Memory.Entries(ctx, q)) {
					if ctx.Err() != nil || !yield(en, nil) {
						return
					}
				}
			}
		}
	}, []string{"queries/ends after its first error"}},
}
