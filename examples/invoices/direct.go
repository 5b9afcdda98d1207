package main

// This file implements uploads straight to the bucket. The row exists from the
// beginning, in the state pending. Its state becomes stored when the file is
// stored. The background work removes uploads that are never completed.

import (
	"context"
	"net/http"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// directHandler serves begin, complete and abort; see blobhttp.Intake.Direct.
// The fields contain the details. The header Location identifies the invoice.
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
			i.State, i.FileKey = statePending, f.Key // Save sets the rest from the stored file, not from claims of the client
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
			if err := s.moveOnce(ctx, i, stateStored); err != nil { // another request or the background work may do it concurrently
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

// locate adds the path of the invoice to the response.
func locate(ctx context.Context, i *invoice) {
	if h, ok := ctx.Value(headerKey{}).(http.Header); ok {
		h.Set("Location", "/invoice/"+i.ID)
	}
}

// idOf returns the ID of the invoice in the key of a file; see newKey.
func idOf(key string) string {
	if parts := strings.Split(key, "/"); len(parts) == 5 {
		return parts[3]
	}
	return ""
}
