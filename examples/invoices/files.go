package main

// What is done with a stored invoice: list, download, link, delete; and the tokens of the API.

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

func (s *service) handleList(w http.ResponseWriter, r *http.Request) error {
	page, _ := strconv.Atoi(r.FormValue("page"))
	invoices, more, err := s.list(r.Context(), max(0, min(page, 10_000)))
	if err != nil {
		return err
	}
	out := struct {
		Invoices []invoiceJSON `json:"invoices"`
		More     bool          `json:"more"`
	}{make([]invoiceJSON, len(invoices)), more}
	for n, i := range invoices {
		out.Invoices[n] = shown(i)
	}
	return writeJSON(w, 200, out)
}

func (s *service) handleGet(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.PathValue("id"), stateStored)
	if err != nil {
		return err
	}
	return writeJSON(w, 200, shown(i))
}

// handleDownload answers with the file where files are local, and with a link in
// the cloud; with redirect=1 it leads there at once, for the page.
func (s *service) handleDownload(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.FormValue("invoice_id"), stateStored)
	if err != nil {
		return err
	}
	mode := blobhttp.Auto
	if r.FormValue("redirect") != "" {
		mode = blobhttp.Redirect
	}
	blobhttp.Deliver(w, r, s.store, i.FileKey, &blobhttp.DeliverOptions{Mode: mode, Resource: i.resource(), OnError: s.report})
	return nil
}

// handleLink issues a link that anybody may use until it expires. The trail
// records its uses, on any backend.
func (s *service) handleLink(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.PathValue("id"), stateStored)
	if err != nil {
		return err
	}
	link, err := s.store.Link(r.Context(), i.FileKey, &blobstore.LinkOptions{Resource: i.resource(), Filename: i.Filename, Gateway: true})
	if err != nil {
		return err
	}
	return writeJSON(w, 201, blobhttp.Delivered{DownloadURL: link.URL(), ExpiresInSeconds: secondsLeft(link)})
}

// secondsLeft is rounded up, since links end on full seconds.
func secondsLeft(l *blobstore.Link) int64 {
	return int64((time.Until(l.Expires) + time.Second - 1) / time.Second)
}

func (s *service) handleDelete(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.PathValue("id"), stateStored)
	if err != nil {
		return err
	}
	if err := s.move(r.Context(), i, stateDeleting); err != nil {
		return err
	}
	if err := s.remove(r.Context(), i); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// remove deletes the file of an invoice that is being deleted. If it is cut short
// the background of any process goes on.
func (s *service) remove(ctx context.Context, i *invoice) error {
	if err := s.store.Delete(ctx, i.FileKey, &blobstore.DeleteOptions{Resource: i.resource()}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.moveOnce(ctx, i, stateDeleted)
}

func (s *service) handleLogin(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	_, t, err := s.login(r.Context(), in.Email, in.Password)
	if err != nil {
		return err
	}
	return writeJSON(w, 200, t)
}

func (s *service) handleRefresh(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Token string `json:"refresh_token"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	_, t, err := s.refresh(r.Context(), in.Token)
	if errors.Is(err, errToken) {
		return refuse(401, blobhttp.CodeUnauthenticated, "Log in again", "")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, 200, t)
}

func (s *service) handleLogout(w http.ResponseWriter, r *http.Request) error {
	if err := s.logout(r.Context(), sessionOf(r).ID); err != nil {
		return err
	}
	s.setCookies(w, new(tokens))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
