package integration

// This file tests links that the application checks and the service serves.

import (
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/signurl"
)

// TestGatewayLinkIsServedByTheService follows a one-time link of the
// application to the service. The service returns the bytes, the name, the type
// and ranges. Afterwards, the link is used up.
func TestGatewayLinkIsServedByTheService(t *testing.T) {
	everywhere(t, func(t *testing.T, _ backend, b driver.Bucket) {
		mux := http.NewServeMux()
		srv := httptest.NewServer(mux)
		defer srv.Close()
		signer, err := signurl.New(srv.URL+"/files/", []signurl.Key{signurl.GenerateKey()}, nil)
		require.NoError(t, err)
		log := new(audit.Memory)
		store, err := blobstore.New(b, log, &blobstore.Options{Signer: signer, Grants: new(signurl.MemoryGrants)})
		require.NoError(t, err)
		mux.Handle("/files/", blobhttp.Links(store, &blobhttp.LinksOptions{RedirectFor: time.Minute}))
		ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
		const content = "<!DOCTYPE html><p>content</p>"
		_, err = store.Upload(ctx, "a", strings.NewReader(content), &blobstore.UploadOptions{Filename: "Rechnung März.html"})
		require.NoError(t, err)

		get := func(link *blobstore.Link, header ...string) (*http.Response, string) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link.URL(), nil)
			require.NoError(t, err)
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			res, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			return res, string(body)
		}
		for _, header := range [][]string{nil, {"Range", "bytes=2-8"}} {
			link, err := store.Link(ctx, "a", &blobstore.LinkOptions{MaxUses: 1, Inline: true})
			require.NoError(t, err)
			res, body := get(link, header...)
			assert.NotEqual(t, srv.Listener.Addr().String(), res.Request.URL.Host, "the service answered")
			if header == nil {
				assert.Equal(t, 200, res.StatusCode, body)
				assert.Equal(t, content, body)
			} else {
				assert.Equal(t, 206, res.StatusCode, body)
				assert.Equal(t, content[2:9], body)
			}
			kind, params, err := mime.ParseMediaType(res.Header.Get("Content-Disposition"))
			require.NoError(t, err)
			assert.Equal(t, "attachment", kind, "a browser would run it")
			assert.Equal(t, "Rechnung März.html", params["filename"])
			res, _ = get(link)
			assert.Equal(t, 410, res.StatusCode, "it is used up")
		}
		var outcomes []audit.Outcome
		for e, err := range log.Entries(ctx, audit.Query{Actions: []audit.Action{audit.ActionRedeem}}) {
			require.NoError(t, err)
			outcomes = append(outcomes, e.Outcome)
		}
		assert.Equal(t, []audit.Outcome{audit.OutcomeOK, audit.OutcomeDenied, audit.OutcomeOK, audit.OutcomeDenied}, outcomes)
	})
}
