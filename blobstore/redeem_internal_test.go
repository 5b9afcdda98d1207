package blobstore

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A Redemption held back by the program remains usable only briefly after a
// revocation.
func TestRedemptionMustBeginSoon(t *testing.T) {
	d := newDirect(t, false)
	_, err := d.Upload(d.ctx, "a", strings.NewReader("x"), nil)
	require.NoError(t, err)
	link, err := d.Link(d.ctx, "a", nil)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(d.ctx, http.MethodGet, link.URL(), nil)
	require.NoError(t, err)
	for age, want := range map[time.Duration]error{0: nil, redeemTime / 2: nil, redeemTime + time.Millisecond: ErrDenied} {
		red, err := d.Redeem(r)
		require.NoError(t, err)
		red.of.begun = red.of.begun.Add(-age)
		body, err := red.Download(d.ctx, nil)
		require.ErrorIs(t, err, want, age)
		if want == nil {
			require.NoError(t, body.Close())
		}
	}
}

// The link of a ticket is only valid for Upload.
func TestTicketIsNotStaged(t *testing.T) {
	d := newDirect(t, false)
	tk, err := d.BeginUpload(d.ctx, "a", 0, nil)
	require.NoError(t, err)
	red, err := d.redeem(t, tk, "")
	require.NoError(t, err)
	_, err = red.Stage(d.ctx, strings.NewReader("x"), nil)
	require.ErrorIs(t, err, ErrUnsupported)
	_, err = red.Upload(d.ctx, strings.NewReader("x"), nil)
	require.NoError(t, err, "it was not spent by that")
}

func TestGrantNamesKindAndKey(t *testing.T) {
	const key = "tenants/1/a"
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	op := newOpID()
	for kind, id := range map[grantKind]string{
		handlerGrant: newGrantID(handlerGrant, key, expires), serviceGrant: newGrantID(serviceGrant, key, expires), ticketGrant: ticketGrantID(op, key),
	} {
		got, body, ok := readGrantID(id, key)
		require.True(t, ok)
		require.Equal(t, kind, got)
		if kind == ticketGrant {
			require.Equal(t, op, body)
		} else {
			at, err := grantExpiry(body)
			require.NoError(t, err)
			require.True(t, expires.Equal(at))
			require.NotEqual(t, id, newGrantID(kind, key, expires))
		}
		require.False(t, isTicketID(id))
		require.LessOrEqual(t, len(id), 64)
		fits := func(id, key string) bool { _, _, ok := readGrantID(id, key); return ok }
		for i := range len(id) {
			other := []byte(id)
			other[i] ^= 1
			require.False(t, fits(string(other), key), i)
			require.False(t, fits(id[:i], key), i)
			require.False(t, fits(id[i:], key) && i > 0, i)
		}
		for _, other := range []grantKind{handlerGrant, serviceGrant, ticketGrant, "", "x"} {
			require.Equal(t, other == kind, fits(string(other)+id[1:], key), "no kind passes for another")
		}
		for _, other := range []string{"", "tenants/1/", "tenants/1/aa", "tenants/2/a", "enants/1/a"} {
			require.False(t, fits(id, other), other)
		}
	}
}
