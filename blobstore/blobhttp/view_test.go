package blobhttp_test

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/signurl"
)

// TestLinksOfAViewRecordForeignLinks checks that the handler of one tenant's
// view refuses links to the files of another tenant. The refusal is recorded,
// because the links were issued.
func TestLinksOfAViewRecordForeignLinks(t *testing.T) {
	h := newHost(t, setup{opts: blobstore.Options{Grants: new(signurl.MemoryGrants)}})
	h.put("tenants/1/a", digits, nil)
	h.put("tenants/2/a", digits, nil)
	view, err := h.store.Sub("tenants/1/")
	require.NoError(t, err)
	handler := blobhttp.Heard(h.errs.add, blobhttp.Links(view, nil))

	own := h.link("tenants/1/a", nil)
	assert.Equal(t, 200, record(handler, httptest.NewRequest("GET", own, nil)).status)
	for method, opts := range map[string]*blobstore.LinkOptions{"GET": {MaxUses: 1}, "HEAD": nil, "PUT": {Method: "PUT"}, "DELETE": {Method: "DELETE"}} {
		foreign, err := h.store.Link(h.ctx, "tenants/2/a", opts)
		require.NoError(t, err)
		before := len(h.trail())
		a := record(handler, httptest.NewRequest(method, foreign.URL(), nil))
		assert.Equal(t, 403, a.status)
		entries := h.trail()[before:]
		require.Len(t, entries, 1, method)
		assert.Equal(t, audit.ActionRedeem, entries[0].Action)
		assert.Equal(t, audit.OutcomeDenied, entries[0].Outcome)
		assert.Equal(t, foreign.GrantID, entries[0].GrantID)
		assert.Equal(t, "192.0.2.1", entries[0].Actor.IP)
		if opts != nil && opts.MaxUses > 0 {
			assert.Equal(t, 200, h.do("GET", foreign.URL(), "").status, "it was not used up by that")
		}
	}
}
