package main

// What is done with a stored invoice: list, download, link, delete; and uploads that go straight to the bucket.

import (
	"context"
	"encoding/hex"
	"errors"
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
	mode := blobhttp.Auto
	if r.FormValue("redirect") != "" {
		mode = blobhttp.Redirect
	}
	blobhttp.Deliver(w, r, s.store, i.FileKey, &blobhttp.DeliverOptions{Mode: mode, Resource: i.resource(), OnError: s.report})
	return nil
}

// handleLink issues a link that anybody may use until it expires.
func (s *service) handleLink(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.PathValue("id"), stateStored)
	if err != nil {
		return err
	}
	link, err := s.store.Link(r.Context(), i.FileKey, &blobstore.LinkOptions{Resource: i.resource(), Filename: i.Filename})
	if err != nil {
		return err
	}
	return writeJSON(w, 201, blobhttp.Delivered{DownloadURL: link.URL, ExpiresInSeconds: secondsLeft(link)})
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
// the background goes on.
func (s *service) remove(ctx context.Context, i *invoice) error {
	if err := s.store.Delete(ctx, i.FileKey, &blobstore.DeleteOptions{Resource: i.resource()}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.move(ctx, i, stateDeleted)
}

// begin is what a client says of an upload that goes straight to the bucket.
type begin struct {
	Number        string `json:"number"`
	Date          string `json:"date"`
	Total         string `json:"total"`
	Currency      string `json:"currency"`
	TransactionID string `json:"transaction_id"`
	Filename      string `json:"filename"`
	ContentType   string `json:"content_type"`
	Size          int64  `json:"size"`
	SHA256        string `json:"sha256"` // optional, hex
}

// begun says where and how to send the bytes.
type begun struct {
	ID        string            `json:"invoice_id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Header    map[string]string `json:"headers"`
	ExpiresIn int64             `json:"expires_in_seconds"`
}

func (s *service) handleBegin(w http.ResponseWriter, r *http.Request) error {
	var b begin
	if err := readJSON(w, r, &b); err != nil {
		return err
	}
	sum, err := hex.DecodeString(b.SHA256)
	switch {
	case err != nil || len(sum) != 0 && len(sum) != 32:
		return refuse(422, "details", "The invoice's details are not complete", "sha256: 64 hexadecimal digits, or nothing.")
	case b.Size <= 0:
		return refuse(422, "details", "The invoice's details are not complete", "size: the bytes of the file.")
	case b.ContentType != "application/pdf" && b.ContentType != "image/png" && b.ContentType != "image/jpeg":
		return refuse(415, blobhttp.CodeType, "Files of this type are not allowed", "")
	}
	a, _ := audit.ActorFrom(r.Context())
	i := newInvoice(a)
	if err := i.set(details{b.Number, b.Date, b.Total, b.Currency, b.TransactionID}); err != nil {
		return err
	}
	if len(sum) == 0 {
		sum = nil
	}
	var attrs map[string]string
	if b.TransactionID != "" {
		attrs = map[string]string{"transaction_id": b.TransactionID}
	}
	t, err := s.store.BeginUpload(r.Context(), blobstore.NewKey(tenantPrefix(a.TenantID)+"invoices", b.Filename), &blobstore.TicketOptions{
		Filename: b.Filename, Resource: i.resource(), Attrs: attrs, ContentType: b.ContentType, Size: b.Size, SHA256: sum, AllowedTypes: fileTypes,
	})
	if err != nil {
		return err
	}
	i.State, i.TicketID, i.FileKey, i.Filename, i.Size, i.ContentType = statePending, t.ID, t.Key, b.Filename, b.Size, b.ContentType
	if err := insert(r.Context(), s.db, i); err != nil {
		return err // the ticket runs out
	}
	out := begun{i.ID, t.Link.Method, t.Link.URL, make(map[string]string), secondsLeft(t.Link)}
	for name := range t.Link.Header {
		if name != "Content-Length" && name != "Host" { // which browsers set themselves
			out.Header[name] = t.Link.Header.Get(name)
		}
	}
	return writeJSON(w, 201, out)
}

func (s *service) handleComplete(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.PathValue("id"), statePending, stateStored)
	if err != nil {
		return err
	}
	if i.State == statePending {
		if i, err = s.complete(r.Context(), i); err != nil {
			return err
		}
		s.metrics.stored(i.Size)
	}
	return writeJSON(w, 201, shown(i))
}

// complete makes an invoice of what was sent straight to the bucket.
func (s *service) complete(ctx context.Context, i *invoice) (*invoice, error) {
	obj, err := s.store.CompleteUpload(ctx, i.FileKey, i.TicketID)
	if err != nil {
		return nil, err
	}
	i.has(obj)
	return i, s.move(ctx, i, stateStored)
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
