package main

// This file implements the operations on a stored invoice (list, download,
// link, delete), and the tokens of the API.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"github.com/blobtrail/blobtrail/audit"
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

// handleDownload sends the file if it is local, and otherwise a link to it. For
// the page, redirect=1 redirects to the link.
func (s *service) handleDownload(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.FormValue("invoice_id"), stateStored)
	if err != nil {
		return err
	}
	if err := s.present(r.Context(), i); err != nil {
		return err
	}
	mode := blobhttp.DeliverAuto
	if r.FormValue("redirect") != "" {
		mode = blobhttp.DeliverRedirect
	}
	blobhttp.Deliver(w, r, s.store, i.FileKey, &blobhttp.DeliverOptions{Mode: mode, Resource: i.resource()})
	return nil
}

// handleLink issues a link for any person until it expires. The trail records
// each use on every backend, because Revocable selects a link to this service.
func (s *service) handleLink(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.PathValue("id"), stateStored)
	if err != nil {
		return err
	}
	link, err := s.store.Link(r.Context(), i.FileKey, &blobstore.LinkOptions{Resource: i.resource(), Filename: i.Filename, Revocable: true})
	if err != nil {
		return err
	}
	return writeJSON(w, 201, blobhttp.Delivered{DownloadURL: link.URL(), ExpiresInSeconds: secondsLeft(link)})
}

// secondsLeft rounds up, because links expire on full seconds.
func secondsLeft(l *blobstore.Link) int64 {
	return int64((time.Until(l.Expires) + time.Second - 1) / time.Second)
}

func (s *service) handleDelete(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.PathValue("id"), stateStored)
	if err != nil {
		return err
	}
	// If the file cannot be found, the storage may be unavailable. Keep the row
	// unchanged in that case.
	if err := s.present(r.Context(), i); err != nil {
		return err
	}
	if err := s.move(r.Context(), i, stateDeleting); err != nil {
		return err
	}
	if err := s.deleteFile(r.Context(), i); err != nil {
		if !errors.Is(err, blobstore.ErrInDoubt) && !errors.Is(err, blobstore.ErrAudit) {
			err = errors.Join(err, s.move(context.WithoutCancel(r.Context()), i, stateStored)) // nothing was deleted
		}
		return err
	}
	if err := s.moveOnce(r.Context(), i, stateDeleted); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// errMissing reports a missing file without a record of its removal.
var errMissing = errors.New("the file is missing, but the trail has no record of its removal")

// present returns an error unless the file of an invoice exists, or the trail
// records its removal.
func (s *service) present(ctx context.Context, i *invoice) error {
	if _, err := s.store.Stat(ctx, i.FileKey); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.gone(ctx, i)
}

// gone returns an error unless the trail records the removal of an invoice's
// file.
func (s *service) gone(ctx context.Context, i *invoice) error {
	switch removed, err := s.recorded(ctx, i, audit.ActionDelete); {
	case err != nil:
		return err
	case !removed:
		return fmt.Errorf("invoice %s: %w: %w", i.ID, errMissing, refuse(503, "missing", "File unavailable", "The storage may be unavailable. Nothing was changed. Try again later."))
	}
	return nil
}

// recorded reports whether the trail has a successful operation on the file of
// an invoice.
func (s *service) recorded(ctx context.Context, i *invoice, action audit.Action) (bool, error) {
	for _, err := range s.journal.Entries(ctx, audit.Query{Key: i.FileKey, Actions: []audit.Action{action}, Outcomes: []audit.Outcome{audit.OutcomeOK}, Limit: 1}) {
		return err == nil, err
	}
	return false, nil
}

// deleteFile deletes the file of an invoice. If the file does not exist, the
// trail must record its removal.
func (s *service) deleteFile(ctx context.Context, i *invoice) error {
	err := s.store.Delete(ctx, i.FileKey, &blobstore.DeleteOptions{Resource: i.resource()})
	if errors.Is(err, fs.ErrNotExist) {
		return s.gone(ctx, i)
	}
	return err
}

// remove completes the deletion of an invoice. If it is interrupted, the
// background work of any process continues it.
func (s *service) remove(ctx context.Context, i *invoice) error {
	if err := s.deleteFile(ctx, i); err != nil {
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
		return refuse(401, "", "", "The session has ended. Sign in again.")
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
