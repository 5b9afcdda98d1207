package blobhttp_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

func TestLinksForPagesOfOtherOrigins(t *testing.T) {
	const app, evil = "https://app.example.com", "https://evil.example"
	for name, c := range map[string]struct {
		allowed []string
		origin  string
		want    string // Access-Control-Allow-Origin
	}{
		"allowed":                {[]string{app}, app, app},
		"one of several":         {[]string{"https://a.example", app}, app, app},
		"another":                {[]string{app}, evil, ""},
		"one that begins alike":  {[]string{app}, app + ".evil.example", ""},
		"null, of a sandbox":     {[]string{app}, "null", ""},
		"all":                    {[]string{"*"}, evil, "*"},
		"no page":                {[]string{app}, "", ""},
		"none is allowed":        {nil, app, ""},
		"the other way of http:": {[]string{app}, "http://app.example.com", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, setup{links: blobhttp.LinksOptions{AllowedOrigins: c.allowed}})
			h.put("a", digits, nil)
			var origin []string
			if c.origin != "" {
				origin = []string{"Origin", c.origin}
			}
			up := h.link("b", &blobstore.LinkOptions{Method: "PUT"})
			before := len(h.trail())
			pre := h.do("OPTIONS", up, "", append(origin, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "content-type")...)
			assert.Equal(t, c.want, pre.header.Get("Access-Control-Allow-Origin"))
			assert.Empty(t, pre.header.Get("Access-Control-Allow-Credentials"))
			if c.want != "" {
				assert.Equal(t, 204, pre.status)
				assert.Contains(t, pre.header.Get("Access-Control-Allow-Methods"), "PUT")
				assert.Contains(t, pre.header.Get("Access-Control-Allow-Headers"), "Content-Type")
				assert.Len(t, h.trail(), before, "a preflight uses nothing")
			}
			for _, a := range []answer{
				h.do("PUT", up, "content", origin...),
				h.do("GET", h.link("a", nil), "", origin...),
				h.do("GET", h.link("a", nil)+"x", "", origin...), // the page can read the refusal
			} {
				assert.Equal(t, c.want, a.header.Get("Access-Control-Allow-Origin"))
				if c.want != "" {
					assert.Contains(t, a.header.Get("Access-Control-Expose-Headers"), "ETag")
				}
				if c.allowed != nil {
					assert.Equal(t, "Origin", a.header.Get("Vary"))
				}
			}
		})
	}
	t.Run("OPTIONS that is no preflight", func(t *testing.T) {
		h := newHost(t, setup{links: blobhttp.LinksOptions{AllowedOrigins: []string{app}}})
		a := h.do("OPTIONS", h.link("a", nil), "", "Origin", app)
		require.Equal(t, 405, a.status)
	})
}
