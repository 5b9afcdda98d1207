package blobstore

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A Use that was kept does not outlive a revocation for long.
func TestUseMustBeginSoon(t *testing.T) {
	d := newDirect(t, false)
	_, err := d.Upload(d.ctx, "a", strings.NewReader("x"), nil)
	require.NoError(t, err)
	link, err := d.Link(d.ctx, "a", nil)
	require.NoError(t, err)
	r, err := http.NewRequest(http.MethodGet, link.URL(), nil)
	require.NoError(t, err)
	verified, err := d.opts.Signer.Verify(r)
	require.NoError(t, err)
	for age, want := range map[time.Duration]error{0: nil, useLifetime / 2: nil, useLifetime + time.Millisecond: ErrDenied} {
		use, err := d.UseLink(d.ctx, verified)
		require.NoError(t, err)
		use.of.begun = use.of.begun.Add(-age)
		body, err := d.Download(d.ctx, "a", &DownloadOptions{Use: use})
		require.ErrorIs(t, err, want, age)
		if want == nil {
			require.NoError(t, body.Close())
		}
	}
}

// The link of a ticket is for Upload, which claims the ticket.
func TestTicketIsNotStaged(t *testing.T) {
	d := newDirect(t, false)
	tk, err := d.BeginUpload(d.ctx, "a", 0, nil)
	require.NoError(t, err)
	use, err := d.use(t, tk, "")
	require.NoError(t, err)
	_, err = d.Stage(d.ctx, "a", strings.NewReader("x"), &UploadOptions{Use: use})
	require.ErrorIs(t, err, ErrUnsupported)
	_, err = d.Upload(d.ctx, "a", strings.NewReader("x"), &UploadOptions{Use: use})
	require.NoError(t, err, "it was not spent by that")
}

func TestGrantNamesItsKey(t *testing.T) {
	for _, gateway := range []bool{false, true} {
		id := newGrantID("tenants/1/a", gateway)
		require.True(t, grantFits(id, "tenants/1/a"))
		require.Equal(t, gateway, strings.HasPrefix(id, gatewayPrefix))
		require.False(t, isTicket(id))
		require.LessOrEqual(t, len(id), 64)
		require.NotEqual(t, id, newGrantID("tenants/1/a", gateway))
		for i := range len(id) {
			other := []byte(id)
			other[i] ^= 1
			require.False(t, grantFits(string(other), "tenants/1/a"), i)
			require.False(t, grantFits(id[:i], "tenants/1/a"), i)
		}
		for _, key := range []string{"", "tenants/1/", "tenants/1/aa", "tenants/2/a", "enants/1/a"} {
			require.False(t, grantFits(id, key), key)
		}
	}
}
