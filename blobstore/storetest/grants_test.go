package storetest

import (
	"context"
	"github.com/blobtrail/blobtrail/signurl"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestMemoryGrants(t *testing.T) {
	shared := new(signurl.MemoryGrants)
	RunGrants(t, func(testing.TB) signurl.Grants { return shared })
}

// flawedGrants passes changed arguments to its MemoryGrants.
type flawedGrants struct {
	inner   signurl.MemoryGrants
	limit   func(limit int) int
	id      func(id string) string
	context func(context.Context) context.Context
	lenient bool // accepts expired links
	keeps   bool // Revoke has no effect
}

func (f *flawedGrants) Use(ctx context.Context, id string, limit int, expires time.Time) error {
	if f.lenient && time.Now().After(expires) {
		return nil
	}
	if f.limit != nil {
		limit = f.limit(limit)
	}
	if f.id != nil {
		id = f.id(id)
	}
	if f.context != nil {
		ctx = f.context(ctx)
	}
	return f.inner.Use(ctx, id, limit, expires)
}

func (f *flawedGrants) Revoke(ctx context.Context, id string, expires time.Time) error {
	if f.keeps {
		return ctx.Err()
	}
	if f.id != nil {
		id = f.id(id)
	}
	return f.inner.Revoke(ctx, id, expires)
}

// TestFlawedGrants shows that every case of RunGrants can fail.
func TestFlawedGrants(t *testing.T) {
	oneMore := func() *flawedGrants { return &flawedGrants{limit: func(n int) int { return n + 1 }} }
	flawed := map[string]*flawedGrants{
		"as often as its limit": oneMore(),
		"a limit of 0":          {limit: func(n int) int { return max(n, 1) }},
		"used or not":           {keeps: true},
		"byte by byte":          {id: strings.ToLower},
		"ended context":         {context: context.WithoutCancel},
		"clock differences":     {lenient: true},
		"1,000 concurrent uses": oneMore(),
		"after Revoke returned": {keeps: true},
		"all processes":         oneMore(),
	}
	assert.Len(t, flawed, len(grantsCases))
	for name, f := range flawed {
		t.Run(name, func(t *testing.T) {
			found := false
			for _, c := range grantsCases {
				if !strings.Contains(c.name, name) {
					continue
				}
				found = true
				r := &recorder{TB: t}
				done := make(chan struct{})
				go func() {
					defer close(done)
					c.run(&grantsEnv{r, f, f, time.Now().Add(time.Hour)})
				}()
				<-done
				assert.True(t, r.failed, c.name)
			}
			assert.True(t, found, "no such case")
		})
	}
}
