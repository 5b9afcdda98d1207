package integration

// This file tests uploads directly to the service, which the store checks after
// their arrival.

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// TestTickets sends files by tickets. A file that matches its announcement
// becomes an object, and other files never do. Abandoned uploads leave nothing.
func TestTickets(t *testing.T) {
	const pdf = "%PDF-1.7 direct"
	sum := sha256.Sum256([]byte(pdf))
	everywhere(t, func(t *testing.T, be backend, b driver.Bucket) {
		log := new(audit.Memory)
		store, err := blobstore.New(b, log, nil)
		require.NoError(t, err)
		ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
		begin := func(key string, o blobstore.UploadOptions) *blobstore.Ticket {
			t.Helper()
			ticket, err := store.BeginUpload(ctx, key, 0, &o)
			require.NoError(t, err)
			return ticket
		}
		send := func(ticket *blobstore.Ticket, content string) {
			t.Helper()
			l := ticket.Link
			status, res := use(t, &driver.SignedURL{URL: l.URL(), Method: l.Method, Header: l.Header, Form: l.Form()}, []byte(content))
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Contains(t, []int{200, 201, 204}, status, string(body))
		}
		pdfs := []string{"application/pdf"}

		ticket := begin("a.pdf", blobstore.UploadOptions{
			Filename: "März.pdf", ContentType: "application/pdf", Size: int64(len(pdf)), SHA256: sum[:], AllowedTypes: pdfs,
		})
		send(ticket, pdf)
		_, err = store.Stat(ctx, "a.pdf")
		require.ErrorIs(t, err, fs.ErrNotExist, "not before it is complete")
		for range 2 {
			obj, err := store.Ticket(ticket.Key, ticket.ID).Complete(ctx)
			require.NoError(t, err)
			assert.Equal(t, "März.pdf", obj.Filename)
			assert.Equal(t, "application/pdf", obj.ContentType)
		}
		r, err := store.Download(ctx, "a.pdf", nil)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, errors.Join(err, r.Close()))
		assert.True(t, bytes.Equal([]byte(pdf), got))
		require.ErrorIs(t, store.Ticket(ticket.Key, ticket.ID).Abort(ctx), fs.ErrExist)

		lie := begin("lie.pdf", blobstore.UploadOptions{ContentType: "application/pdf", AllowedTypes: pdfs})
		send(lie, "<!DOCTYPE html><script>")
		_, err = store.Ticket(lie.Key, lie.ID).Complete(ctx)
		require.ErrorIs(t, err, blobstore.ErrContentType)

		empty := begin("empty", blobstore.UploadOptions{AllowedTypes: []string{"text/*"}})
		send(empty, "")
		_, err = store.Ticket(empty.Key, empty.ID).Complete(ctx)
		require.NoError(t, err)

		limited := begin("limited", blobstore.UploadOptions{MaxSize: 100, AllowedTypes: pdfs})
		send(limited, pdf+strings.Repeat("x", 85))
		_, err = store.Ticket(limited.Key, limited.ID).Complete(ctx)
		require.NoError(t, err)

		given := begin("given-up", blobstore.UploadOptions{})
		send(given, pdf)
		require.NoError(t, store.Ticket(given.Key, given.ID).Abort(ctx))
		_, err = store.Ticket(given.Key, given.ID).Complete(ctx)
		require.ErrorIs(t, err, fs.ErrNotExist)

		assert.Zero(t, log.OpenIntents())
		var keys []string
		it := b.Blob().List(nil)
		for {
			o, err := it.Next(ctx)
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			keys = append(keys, o.Key)
		}
		assert.ElementsMatch(t, []string{"a.pdf", "empty", "limited"}, keys, "nothing else is left, in private folders neither")
		require.Empty(t, be.left(t, b))
	})
}
