package audit

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestActorInContext(t *testing.T) {
	_, ok := ActorFrom(context.Background())
	assert.False(t, ok, "nobody")

	a := Actor{UserID: "u-1", TenantID: "t-1", IP: "192.0.2.1", UserAgent: "curl", RequestID: "r-1"}
	ctx := WithActor(context.Background(), a)
	got, ok := ActorFrom(ctx)
	assert.True(t, ok)
	assert.Equal(t, a, got)

	inner := WithActor(ctx, Actor{IP: "192.0.2.2"})
	got, ok = ActorFrom(inner)
	assert.True(t, ok, "one known field is enough")
	assert.Equal(t, Actor{IP: "192.0.2.2"}, got, "the inner one replaces the outer as a whole")

	got, _ = ActorFrom(ctx)
	assert.Equal(t, a, got, "the outer context keeps its own")

	_, ok = ActorFrom(WithActor(ctx, Actor{}))
	assert.False(t, ok, "a zero actor counts as missing")
	assert.True(t, Actor{}.IsZero())
	assert.False(t, a.IsZero())
}
