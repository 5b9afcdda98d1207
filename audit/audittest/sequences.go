package audittest

import (
	"context"
	"fmt"
	"iter"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// This file checks how sequences end.

var sequenceCases = []testCase{
	{"queries/ends after its first error", entriesEnd},
	{"dangling/ends after its first error", danglingEnds},
}

// endsOnce cancels the context of a sequence at its first element. Unless the
// sequence yields all n elements, it MUST then end with an error. An error MUST
// be its last element.
func endsOnce[V any](e *env, n int, sequence func(context.Context) iter.Seq2[V, error]) {
	e.Helper()
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	var errs []error
	for _, err := range sequence(ctx) {
		errs = append(errs, err)
		cancel()
		require.LessOrEqual(e, len(errs), 2*n, "the sequence does not end")
	}
	require.NotEmpty(e, errs)
	last := len(errs) - 1
	for _, err := range errs[:last] {
		assert.NoError(e, err, "a sequence goes on after an error")
	}
	if errs[last] != nil {
		assert.ErrorIs(e, errs[last], context.Canceled)
		return
	}
	assert.Len(e, errs, n, "a sequence that was canceled ends without an error and is not complete")
}

func entriesEnd(e *env) {
	const n = 20
	events := make([]audit.Event, n)
	for i := range events {
		events[i] = upload(fmt.Sprint(i))
	}
	e.log(events...)
	for _, newest := range []bool{false, true} {
		endsOnce(e, n, func(ctx context.Context) iter.Seq2[audit.Entry, error] {
			return e.j.Entries(ctx, audit.Query{NewestFirst: newest})
		})
	}
}

func danglingEnds(e *env) {
	const n = 5
	for i := range n {
		e.begin(upload(fmt.Sprint(i)), e.short())
	}
	e.expire()
	endsOnce(e, n, func(ctx context.Context) iter.Seq2[audit.Intent, error] {
		return e.j.Dangling(ctx, audit.DanglingQuery{Lease: long})
	})
}
