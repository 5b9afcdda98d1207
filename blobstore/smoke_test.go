package blobstore_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/all"
	"github.com/blobtrail/blobtrail/signurl"
)

func TestSmoke(t *testing.T) {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "u1"})
	for _, u := range []string{"mem://", "file://" + t.TempDir(), "local://" + t.TempDir()} {
		var log audit.Memory
		signer, err := signurl.New("http://localhost/files/", []signurl.Key{signurl.NewKey()}, nil)
		require.NoError(t, err)
		s, err := blobstore.Open(ctx, u, &log, &blobstore.Options{Signer: signer})
		require.NoError(t, err)
		key := blobstore.NewKey("invoices", "Rechnung März.pdf")
		obj, err := s.Upload(ctx, key, strings.NewReader("hello"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}, Filename: "Rechnung März.pdf"})
		require.NoError(t, err)
		t.Log(obj.Link.URL, obj)
		r, err := s.Download(ctx, key, nil)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, "hello", string(b))
		require.NoError(t, r.Close())
		require.NoError(t, s.Move(ctx, "x/y", key, nil))
		require.NoError(t, s.Delete(ctx, "x/y", nil))
		for e, err := range log.Entries(ctx, audit.Query{}) {
			require.NoError(t, err)
			t.Log(e.Action, e.Outcome, e.Key, e.Attrs, e.GrantID)
		}
		require.NoError(t, s.Close())
	}
}
