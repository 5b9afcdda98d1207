package main

// Uploads that go straight to the bucket. The row is there from the beginning, pending, and stored when the file is; what
// is never completed the background removes.

import (
	"context"
	"net/http"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// directHandler serves begin, complete and abort; see blobhttp.Intake.Direct. The
// fields are the details; the header Location names the invoice.
func (s *service) directHandler() http.Handler {
	next := (&blobhttp.Intake{
		Store: s.store, MaxSize: s.set.files.MaxUploadSize, AllowedTypes: fileTypes,
		Prepare: func(ctx context.Context, f *blobhttp.File) error {
			a, _ := audit.ActorFrom(ctx)
			i := newInvoice(a)
			if err := i.set(detailsOf(f.Fields)); err != nil {
				return err
			}
			f.Key = i.newKey(f.Filename)
			f.Options.Resource, f.Attrs = i.resource(), i.attrs()
			i.State, i.FileKey = statePending, f.Key // the rest is known when the file is there, and not what its client calls it
			locate(ctx, i)
			return s.outage(ctx, insert(ctx, s.db, i))
		},
		Save: func(ctx context.Context, files []blobhttp.Stored) error {
			obj := files[0].Object
			i, err := s.find(ctx, idOf(obj.Key), statePending, stateStored)
			if err != nil || i.State == stateStored {
				return s.outage(ctx, err)
			}
			i.has(obj)
			if err := s.moveOnce(ctx, i, stateStored); err != nil { // a second request, or the background, may be as quick
				return s.outage(ctx, err)
			}
			locate(ctx, i)
			s.metrics.stored(i.Size)
			return nil
		},
	}).Direct()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), headerKey{}, w.Header())))
	})
}

type headerKey struct{}

// locate names the invoice in the response.
func locate(ctx context.Context, i *invoice) {
	if h, ok := ctx.Value(headerKey{}).(http.Header); ok {
		h.Set("Location", "/invoice/"+i.ID)
	}
}

// idOf is the invoice in the key of a file; see newKey.
func idOf(key string) string {
	if parts := strings.Split(key, "/"); len(parts) == 5 {
		return parts[3]
	}
	return ""
}
