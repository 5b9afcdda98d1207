package blobhttp_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
)

// signingBucket is a backend that signs links itself, like a cloud service.
type signingBucket struct{ driver.Bucket }

func (b signingBucket) Info() driver.Info {
	info := b.Bucket.Info()
	info.Backend, info.Capabilities.Links.Methods = "cloud", []string{"GET", "PUT"}
	return info
}

func (signingBucket) Sign(_ context.Context, key string, o *driver.SignOptions) (*driver.SignedURL, error) {
	return &driver.SignedURL{URL: "https://cloud.example/" + key + "?name=" + o.ContentDisposition, Method: o.Method}, nil
}

func newCloud(t *testing.T, log audit.Journal) *blobstore.Store {
	t.Helper()
	store, err := blobstore.New(signingBucket{memstore.New()}, log, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	return store
}

func TestDeliver(t *testing.T) {
	for name, c := range map[string]struct {
		cloud  bool
		opts   blobhttp.DeliverOptions
		method string
		key    string
		header []string
		user   string
		status int
		body   string
		action audit.Action // recorded action
		code   string
	}{
		"local, bytes":            {status: 200, body: digits, action: audit.ActionDownload},
		"local, head":             {method: "HEAD", status: 200, action: audit.ActionDownload},
		"local, range":            {header: []string{"Range", "bytes=1-2"}, status: 206, body: "12", action: audit.ActionDownload},
		"local, JSON":             {opts: blobhttp.DeliverOptions{Mode: blobhttp.DeliverJSON}, status: 200, body: "{", action: audit.ActionIssueLink},
		"local, redirect":         {opts: blobhttp.DeliverOptions{Mode: blobhttp.DeliverRedirect}, status: 302, action: audit.ActionIssueLink},
		"local, missing":          {key: "other", status: 404, action: audit.ActionDownload, code: "not_found"},
		"cloud, by default":       {cloud: true, status: 200, body: digits, action: audit.ActionDownload},
		"local, auto":             {opts: blobhttp.DeliverOptions{Mode: blobhttp.DeliverAuto}, status: 200, body: digits, action: audit.ActionDownload},
		"cloud, JSON":             {cloud: true, opts: blobhttp.DeliverOptions{Mode: blobhttp.DeliverAuto}, status: 200, body: "{", action: audit.ActionIssueLink},
		"cloud, JSON, head":       {cloud: true, opts: blobhttp.DeliverOptions{Mode: blobhttp.DeliverAuto}, method: "HEAD", status: 200},
		"cloud, redirect":         {cloud: true, opts: blobhttp.DeliverOptions{Mode: blobhttp.DeliverRedirect}, status: 302, action: audit.ActionIssueLink},
		"cloud, bytes":            {cloud: true, opts: blobhttp.DeliverOptions{Mode: blobhttp.DeliverBytes}, status: 200, body: digits, action: audit.ActionDownload},
		"cloud, missing":          {cloud: true, opts: blobhttp.DeliverOptions{Mode: blobhttp.DeliverAuto}, key: "other", status: 404, code: "not_found"},
		"POST":                    {method: "POST", status: 405, code: "method"},
		"nobody":                  {user: "nobody", status: 401, code: "unauthenticated"},
		"nobody, allowed":         {user: "nobody", opts: blobhttp.DeliverOptions{AllowAnonymous: true}, status: 200, body: digits, action: audit.ActionDownload},
		"a mode that is none":     {opts: blobhttp.DeliverOptions{Mode: 9}, status: 501, code: "unsupported"},
		"an expiry that is none":  {opts: blobhttp.DeliverOptions{Mode: blobhttp.DeliverJSON, Expiry: 1000 * time.Hour}, status: 500, code: "internal"},
		"an expiry of bytes":      {opts: blobhttp.DeliverOptions{Expiry: time.Hour}, status: 501, code: "unsupported"},
		"a key that climbs out":   {key: "../secret", status: 400, code: "bad_key"},
		"precondition that fails": {header: []string{"If-Match", `"x"`}, status: 412, action: audit.ActionDownload, code: "precondition"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, setup{store: "local://" + t.TempDir(), wrap: asUser})
			store := h.store
			if c.cloud {
				store = newCloud(t, h.log)
			}
			_, err := store.Upload(h.ctx, "a", strings.NewReader(digits), &blobstore.UploadOptions{Filename: "März.txt"})
			require.NoError(t, err)
			if c.key == "" {
				c.key = "a"
			}
			if c.method == "" {
				c.method = "GET"
			}
			c.opts.Resource = audit.Resource{Type: "invoice", ID: "42"}
			h.mux.HandleFunc("/invoice", func(w http.ResponseWriter, r *http.Request) {
				blobhttp.Deliver(w, r, store, c.key, &c.opts)
			})
			h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			start := time.Now()
			a := h.do(c.method, h.url+"/invoice", "", append(c.header, "User", c.user)...)
			require.Equal(t, c.status, a.status, a.body)
			assert.Equal(t, "private, no-store", a.header.Get("Cache-Control"))

			var recorded []audit.Entry
			for _, e := range h.trail() {
				if e.Action != audit.ActionUpload {
					recorded = append(recorded, e)
				}
			}
			if c.action == "" {
				assert.Empty(t, recorded)
			} else {
				require.Len(t, recorded, 1)
				assert.Equal(t, c.action, recorded[0].Action)
				assert.Equal(t, audit.Resource{Type: "invoice", ID: "42"}, recorded[0].Resource)
				assert.Equal(t, "127.0.0.1", recorded[0].Actor.IP)
			}
			switch {
			case c.code != "":
				assert.Equal(t, c.code, a.problem(t).Code)
			case c.body == "{":
				var got blobhttp.Delivered
				require.NoError(t, json.Unmarshal([]byte(a.body), &got))
				assertSecondsLeft(t, start, time.Hour, got.ExpiresInSeconds)
				assert.Equal(t, []string{"download_url", "expires_in_seconds"}, fieldNames(t, a.body))
				assertLink(t, h, c.cloud, got.DownloadURL)
			case c.status == 302:
				assertLink(t, h, c.cloud, a.header.Get("Location"))
				assert.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"))
			default:
				assert.Equal(t, c.body, a.body)
			}
		})
	}
}

// TestDeliverFromACloudShowsNothingHarmful checks that links of a service never
// display content with scripts, because a service does not send the protective
// headers.
func TestDeliverFromACloudShowsNothingHarmful(t *testing.T) {
	log := new(audit.Memory)
	store := newCloud(t, log)
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	for name, c := range map[string]struct {
		content string
		opts    blobhttp.DeliverOptions
		want    string
	}{
		"text":                    {"plain", blobhttp.DeliverOptions{}, "inline"},
		"HTML":                    {html, blobhttp.DeliverOptions{}, "attachment"},
		"SVG":                     {svg, blobhttp.DeliverOptions{}, "attachment"},
		"text as HTML":            {"plain", blobhttp.DeliverOptions{ResponseType: "text/html"}, "attachment"},
		"HTML on a host for that": {html, blobhttp.DeliverOptions{InlineTypes: []string{"text/html"}}, "inline"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Upload(ctx, name, strings.NewReader(c.content), &blobstore.UploadOptions{Filename: "a.bin"})
			require.NoError(t, err)
			c.opts.Inline, c.opts.Mode = true, blobhttp.DeliverJSON
			a := record(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				blobhttp.Deliver(w, r, store, name, &c.opts)
			}), newRequest("GET", "/", ""))
			require.Equal(t, 200, a.status, a.body)
			var got blobhttp.Delivered
			require.NoError(t, json.Unmarshal([]byte(a.body), &got))
			_, disposition, _ := strings.Cut(got.DownloadURL, "?name=")
			assert.True(t, strings.HasPrefix(disposition, c.want), disposition)
		})
	}
}

// TestLinksOfACloudSaveUnlessAskedToShow checks that links of a service save an
// object of another program, which has no file name. By default a service would
// display it.
func TestLinksOfACloudSaveUnlessAskedToShow(t *testing.T) {
	store := newCloud(t, new(audit.Memory))
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "alice"})
	_, err := store.Upload(ctx, "a.html", strings.NewReader(html), nil)
	require.NoError(t, err)
	a := record(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		blobhttp.Deliver(w, r, store, "a.html", &blobhttp.DeliverOptions{Mode: blobhttp.DeliverJSON})
	}), newRequest("GET", "/", ""))
	require.Equal(t, 200, a.status, a.body)
	var got blobhttp.Delivered
	require.NoError(t, json.Unmarshal([]byte(a.body), &got))
	assert.Contains(t, got.DownloadURL, "?name=attachment")
	for name, c := range map[string]struct {
		opts blobstore.LinkOptions
		want string
	}{
		"plain":  {blobstore.LinkOptions{}, "attachment"},
		"named":  {blobstore.LinkOptions{Filename: "a b.html"}, `attachment; filename="a b.html"`},
		"inline": {blobstore.LinkOptions{Inline: true}, "inline"},
	} {
		l, err := store.Link(ctx, "a.html", &c.opts)
		require.NoError(t, err)
		_, disposition, _ := strings.Cut(l.URL(), "?name=")
		assert.Equal(t, c.want, disposition, name)
	}
}

func assertLink(t *testing.T, h *host, cloud bool, link string) {
	t.Helper()
	if cloud {
		assert.True(t, strings.HasPrefix(link, "https://cloud.example/a?"), link)
		return
	}
	a := h.do("GET", link, "")
	assert.Equal(t, digits, a.body)
	assert.Contains(t, a.header.Get("Content-Disposition"), "M%C3%A4rz.txt")
}

func fieldNames(t *testing.T, body string) (names []string) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(body))
	for {
		tok, err := dec.Token()
		if err != nil {
			return names
		}
		if name, ok := tok.(string); ok {
			names = append(names, name)
			_, err := dec.Token() // value of the key
			require.NoError(t, err)
		}
	}
}

func TestDeliverServesRefusedByAuthorizer(t *testing.T) {
	h := newHost(t, setup{wrap: asUser, opts: blobstore.Options{Authorize: func(_ context.Context, e audit.Event) error {
		if e.Action == audit.ActionDownload && e.Actor.UserID != "alice" {
			return blobstore.ErrDenied
		}
		return nil
	}}})
	h.put("a", digits, nil)
	h.mux.HandleFunc("/a", func(w http.ResponseWriter, r *http.Request) {
		blobhttp.Deliver(w, r, h.store, "a", nil)
	})
	assert.Equal(t, 200, h.do("GET", h.url+"/a", "").status)
	a := h.do("GET", h.url+"/a", "", "User", "mallory")
	assert.Equal(t, 403, a.status)
	downloads := h.trail(audit.ActionDownload)
	require.Len(t, downloads, 2)
	assert.Equal(t, audit.OutcomeDenied, downloads[1].Outcome)
}
