package blobstore

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/secrettest"
)

// A value that contains a link is printed and encoded without the URL and the
// form, whether it contains the link as a value or as a pointer, by methods or
// by reflection.
func TestLinksStayOutOfLogs(t *testing.T) {
	link := &Link{GrantID: "g"}
	form := map[string]string{"policy": "SECRET-POLICY"}
	link.setSigned(&driver.SignedURL{URL: "https://example.com/f?sig=SECRET-URL", Method: "POST", Form: form})
	obj := &Object{Key: "a/b.pdf", Size: 3, SHA256: []byte{1}, Link: link}
	ticket := &Ticket{ID: "t", Key: "a/b.pdf", Link: link}
	secrettest.HoldsDeep(t, *link, "SECRET-URL", "SECRET-POLICY")
	secrettest.HoldsDeep(t, *obj, "SECRET-URL", "SECRET-POLICY")
	secrettest.HoldsDeep(t, *ticket, "SECRET-URL", "SECRET-POLICY")

	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "obj", obj, "ticket", ticket)
	require.Contains(t, b.String(), `"key":"a/b.pdf"`)
	require.Contains(t, b.String(), `"id":"t"`)
	text, err := json.Marshal(link)
	require.NoError(t, err)
	assert.Contains(t, string(text), `"GrantID":"g"`)

	assert.Equal(t, "https://example.com/f?sig=SECRET-URL", link.URL())
	assert.Equal(t, form, link.Form())
	link.Form()["policy"] = "changed"
	assert.Equal(t, form, link.Form(), "the caller's copy")
	assert.Nil(t, (&Link{}).Form())
	assert.Empty(t, Link{}.URL())
}
