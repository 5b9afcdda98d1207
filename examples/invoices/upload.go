package main

// This file implements the three ways to upload an invoice through the service.
// Each one stages the file. One transaction then stores the row and settles the
// record of the file, so either both exist or neither.

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// maxPDF limits the size of a PDF whose details are read automatically, in
// bytes.
const maxPDF = 20 << 20

// fileTypes lists the accepted types. The content determines the type.
var fileTypes = []string{"application/pdf", "image/png", "image/jpeg"}

// source is the source of the details of an uploaded invoice.
type source int

const (
	fromForm        source = iota // upload_file: the fields of the form
	fromPDF                       // upload_file_auto: the PDF itself
	fromTransaction               // upload_file_direct: the form, including the transaction of the invoice
)

// uploading holds the invoice of a request until the response.
type uploading struct {
	invoice *invoice
	pdf     bytes.Buffer
}

type uploadingKey struct{}

// uploadHandler returns a handler for a form with the file of an invoice.
func (s *service) uploadHandler(from source) http.Handler {
	in := &blobhttp.Intake{
		Store: s.store, MaxSize: s.set.files.MaxUploadSize, AllowedTypes: fileTypes,
		Prepare: func(ctx context.Context, f *blobhttp.File) error { return prepare(ctx, from, f) },
		Save: func(ctx context.Context, files []blobhttp.Stored) error {
			return s.outage(ctx, s.saveUpload(ctx, from, files[0]))
		},
	}
	if from == fromPDF {
		in.MaxSize, in.AllowedTypes = min(in.MaxSize, maxPDF), []string{"application/pdf"}
	}
	next := in.Form(&blobhttp.FormOptions{
		MaxFiles: 1, MaxFields: 16, MaxFieldsSize: 8 << 10, MaxTotalSize: in.MaxSize + 64<<10, Respond: s.answerUpload,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), uploadingKey{}, new(uploading))))
	})
}

// prepare creates the invoice before its file is received.
func prepare(ctx context.Context, from source, f *blobhttp.File) error {
	a, _ := audit.ActorFrom(ctx)
	up := ctx.Value(uploadingKey{}).(*uploading)
	up.invoice = newInvoice(a)
	f.Key = up.invoice.newKey(f.Filename)
	f.Options.Resource = up.invoice.resource()
	if from == fromPDF {
		// Check it here, because details of the PDF itself cause a different
		// error.
		if up.invoice.TransactionID = strings.TrimSpace(f.Fields.Get("transaction_id")); !goodTransaction(up.invoice.TransactionID) {
			return refuse(422, "details", titleDetails, wantTransaction+".")
		}
		f.Body = io.TeeReader(f.Body, &up.pdf)
		return nil
	}
	d := detailsOf(f.Fields)
	if len(f.Fields) == 0 {
		return refuse(422, "details", titleDetails, "Send the details before the file.")
	}
	if from == fromTransaction && strings.TrimSpace(d.TransactionID) == "" {
		return refuse(422, "details", titleDetails, "Set transaction_id to the transaction of the invoice.")
	}
	if err := up.invoice.set(d); err != nil {
		return err
	}
	f.Attrs = up.invoice.attrs()
	return nil
}

// saveUpload stores the row of a received file.
func (s *service) saveUpload(ctx context.Context, from source, file blobhttp.Stored) error {
	up := ctx.Value(uploadingKey{}).(*uploading)
	if from == fromPDF {
		d, err := s.readPDF(ctx, up.pdf.Bytes())
		if err != nil {
			return err
		}
		d.TransactionID = up.invoice.TransactionID
		if err := up.invoice.set(d); err != nil {
			return unclearPDF(titleUnclear, strings.TrimSuffix(err.(*blobhttp.Problem).Detail, "."), details{}) //nolint:errorlint // set returns no other type
		}
	}
	up.invoice.has(file.Object)
	return s.save(ctx, up.invoice, file.Staged)
}

func detailsOf(f url.Values) details {
	return details{Number: f.Get("number"), Date: f.Get("date"), Total: f.Get("total"), Currency: f.Get("currency"), TransactionID: f.Get("transaction_id")}
}

// save commits the row and the file together.
func (s *service) save(ctx context.Context, i *invoice, staged *blobstore.Staged) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // no effect after a commit
	if err := insert(ctx, tx, i); err != nil {
		return err
	}
	if err := s.journal.CommitTx(ctx, tx, staged); err != nil {
		return err
	}
	switch err := s.commit(tx); {
	case errors.Is(err, sql.ErrTxDone): // the end of ctx already rolled it back
		return fmt.Errorf("committing the invoice: %w", err)
	case err != nil:
		return s.unlessCommitted(ctx, i, err)
	}
	return nil
}

// unlessCommitted handles the error of a commit. If the row exists, only the
// response was lost, and unlessCommitted returns nil. Otherwise the row may
// still appear. The error then leaves the file to Reconcile, which checks the
// transaction.
func (s *service) unlessCommitted(ctx context.Context, i *invoice, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var n int
	if err := s.db.GetContext(ctx, &n, s.db.Rebind("SELECT COUNT(*) FROM invoices WHERE id = ?"), i.ID); err != nil || n == 0 {
		return errors.Join(fmt.Errorf("%w: committing the invoice: %w", blobstore.ErrInDoubt, cause), err)
	}
	return nil
}

func (s *service) answerUpload(w http.ResponseWriter, r *http.Request, _ *blobhttp.Uploaded) {
	up := r.Context().Value(uploadingKey{}).(*uploading)
	s.metrics.stored(up.invoice.Size)
	if strings.HasPrefix(r.Header.Get("Accept"), "text/html") { // the form was sent without the script of the page
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	_ = writeJSON(w, http.StatusCreated, shown(up.invoice)) // never fails
}

// invoiceJSON is an invoice in responses.
type invoiceJSON struct {
	ID            string    `json:"invoice_id"`
	Number        string    `json:"number"`
	Date          string    `json:"date"`
	Total         string    `json:"total"`
	Currency      string    `json:"currency"`
	TransactionID string    `json:"transaction_id,omitempty"`
	Filename      string    `json:"filename"`
	Size          int64     `json:"size"`
	ContentType   string    `json:"content_type"`
	SHA256        string    `json:"sha256,omitempty"`
	CreatedAt     time.Time `json:"created_at"`
}

func shown(i *invoice) invoiceJSON {
	return invoiceJSON{i.ID, i.Number, i.IssuedOn, i.Total(), i.Currency, i.TransactionID, i.Filename, i.Size, i.ContentType, i.SHA256, i.Created()}
}
