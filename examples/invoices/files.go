package main

// What is done with a stored invoice: list, download, link, delete; and the tokens of the API.

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

// handleDownload answers with the file where files are local, and with a link in
// the cloud; with redirect=1 it leads there at once, for the page.
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

// handleLink issues a link that anybody may use until it expires. The trail
// records its uses, on any backend.
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

// secondsLeft is rounded up, since links end on full seconds.
func secondsLeft(l *blobstore.Link) int64 {
	return int64((time.Until(l.Expires) + time.Second - 1) / time.Second)
}

func (s *service) handleDelete(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.PathValue("id"), stateStored)
	if err != nil {
		return err
	}
	// Nothing is promised while the file can't be seen, as when the storage is not
	// there: the row stays as it is.
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

// errMissing reports a file that is gone without a record of its removal.
var errMissing = errors.New("the file is missing, and the trail has no record of its removal")

// present returns an error unless the file of an invoice is there, or the trail
// has its removal.
func (s *service) present(ctx context.Context, i *invoice) error {
	if _, err := s.store.Stat(ctx, i.FileKey); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.gone(ctx, i)
}

// gone returns an error unless the trail has the removal of an invoice's file.
func (s *service) gone(ctx context.Context, i *invoice) error {
	switch removed, err := s.recorded(ctx, i, audit.ActionDelete); {
	case err != nil:
		return err
	case !removed:
		return fmt.Errorf("invoice %s: %w: %w", i.ID, errMissing, refuse(503, "missing", "The file is missing at the moment", "The storage may not be there. Nothing was changed."))
	}
	return nil
}

// recorded reports whether the trail has an operation on the file of an invoice
// that succeeded.
func (s *service) recorded(ctx context.Context, i *invoice, action audit.Action) (bool, error) {
	for _, err := range s.journal.Entries(ctx, audit.Query{Key: i.FileKey, Actions: []audit.Action{action}, Outcomes: []audit.Outcome{audit.OutcomeOK}, Limit: 1}) {
		return err == nil, err
	}
	return false, nil
}

// deleteFile deletes the file of an invoice. One that is missing was deleted
// before, if the trail says so.
func (s *service) deleteFile(ctx context.Context, i *invoice) error {
	err := s.store.Delete(ctx, i.FileKey, &blobstore.DeleteOptions{Resource: i.resource()})
	if errors.Is(err, fs.ErrNotExist) {
		return s.gone(ctx, i)
	}
	return err
}

// remove finishes the deletion of an invoice. If it is cut short the background of
// any process goes on.
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
		return refuse(401, "", "Log in again", "")
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
