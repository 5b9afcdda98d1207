package main

// Uploads that go straight to the bucket. The row is there from the beginning, pending, and stored when the file is; what
// is never completed the background removes.

import (
	"context"
	"net/http"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// directHandler serves begin, complete and abort; see blobhttp.DirectUpload. The
// details come as its fields; the header Location names the invoice.
func (s *service) directHandler() http.Handler {
	next := blobhttp.DirectUpload(s.store, &blobhttp.DirectOptions{
		MaxBytes: s.set.files.MaxUploadBytes, AllowedTypes: fileTypes,
		Prepare: func(r *http.Request, f *blobhttp.DirectFile) error {
			a, _ := audit.ActorFrom(r.Context())
			i := newInvoice(a)
			d := details{f.Fields["number"], f.Fields["date"], f.Fields["total"], f.Fields["currency"], f.Fields["transaction_id"]}
			if err := i.set(d); err != nil {
				return err
			}
			f.Key = i.newKey(f.Filename)
			f.Options.Resource, f.Attrs = i.resource(), i.attrs()
			i.State, i.FileKey = statePending, f.Key // the rest is known when the file is there, and not what its client calls it
			locate(r, i)
			return s.outage(r.Context(), insert(r.Context(), s.db, i))
		},
		Save: func(r *http.Request, obj *blobstore.Object) error {
			i, err := s.find(r.Context(), idOf(obj.Key), statePending, stateStored)
			if err != nil || i.State == stateStored {
				return s.outage(r.Context(), err)
			}
			i.has(obj)
			if err := s.moveOnce(r.Context(), i, stateStored); err != nil { // a second request, or the background, may be as quick
				return s.outage(r.Context(), err)
			}
			locate(r, i)
			s.metrics.stored(i.Size)
			return nil
		},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), headerKey{}, w.Header())))
	})
}

type headerKey struct{}

// locate names the invoice in the answer.
func locate(r *http.Request, i *invoice) {
	if h, ok := r.Context().Value(headerKey{}).(http.Header); ok {
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
