package blobstore

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// What holds a link is logged without its URL, by every handler of log/slog.
func TestLinksStayOutOfLogs(t *testing.T) {
	link := &Link{URL: "https://example.com/f?sig=SECRET", Method: "GET", GrantID: "g"}
	obj := &Object{Key: "a/b.pdf", Size: 3, SHA256: []byte{1}, Link: link}
	ticket := &Ticket{ID: "t", Key: "a/b.pdf", Link: link}
	for name, v := range map[string]any{
		"link": *link, "pointer to link": link, "object": *obj, "pointer to object": obj,
		"ticket": *ticket, "pointer to ticket": ticket,
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
			slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
			fmt.Fprintf(&b, "%v %+v %#v %s", v, v, v, v)
			require.NotContains(t, b.String(), "SECRET")
		})
	}
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "obj", obj, "ticket", ticket)
	require.Contains(t, b.String(), `"key":"a/b.pdf"`)
	require.Contains(t, b.String(), `"id":"t"`)
}
