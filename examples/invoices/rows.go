package main

// This file implements the rows of invoices. Every statement of a request names
// the tenant, so the rows of other tenants are not found.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// The states of an invoice.
const (
	statePending  = "pending"  // a direct upload is in progress
	stateStored   = "stored"   // row and file exist
	stateDeleting = "deleting" // the deletion of the file is in progress
	stateDeleted  = "deleted"  // the file is deleted; the row remains for the trail
)

type invoice struct {
	ID            string `db:"id"`
	TenantID      string `db:"tenant_id"`
	UserID        string `db:"user_id"`
	Number        string `db:"number"`
	IssuedOn      string `db:"issued_on"` // 2006-01-02
	TotalCents    int64  `db:"total_cents"`
	Currency      string `db:"currency"`
	TransactionID string `db:"transaction_id"`
	State         string `db:"state"`
	FileKey       string `db:"file_key"`
	Filename      string `db:"filename"`
	Size          int64  `db:"size"`
	ContentType   string `db:"content_type"`
	SHA256        string `db:"sha256"`
	CreatedAt     int64  `db:"created_at"`
	ChangedAt     int64  `db:"changed_at"`
}

func newInvoice(a audit.Actor) *invoice {
	now := time.Now().UnixMilli()
	return &invoice{ID: uuid.NewString(), TenantID: a.TenantID, UserID: a.UserID, State: stateStored, CreatedAt: now, ChangedAt: now}
}

// resource returns the invoice as a resource in the trail.
func (i *invoice) resource() audit.Resource { return audit.Resource{Type: "invoice", ID: i.ID} }

// has sets the fields of the file from the stored object.
func (i *invoice) has(obj *blobstore.Object) {
	i.FileKey, i.Size, i.ContentType, i.SHA256 = obj.Key, obj.Size, obj.ContentType, fmt.Sprintf("%x", obj.SHA256)
	if i.Filename = obj.Filename; i.Filename == "" {
		i.Filename = "invoice"
	}
}

// Total returns the amount as text, such as 2403.80.
func (i *invoice) Total() string {
	sign, c := "", i.TotalCents
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Sprintf("%s%d.%02d", sign, c/100, c%100)
}

// Created returns the creation time of the row.
func (i *invoice) Created() time.Time { return time.UnixMilli(i.CreatedAt).UTC() }

// newKey returns a key for a file of the invoice. It contains the tenant and
// the ID.
func (i *invoice) newKey(filename string) string {
	return blobstore.NewKey(tenantPrefix(i.TenantID)+"invoices/"+i.ID, filename)
}

// attrs returns additional attributes of the invoice for the trail.
func (i *invoice) attrs() map[string]string {
	if i.TransactionID == "" {
		return nil
	}
	return map[string]string{"transaction_id": i.TransactionID}
}

// tenantPrefix returns the folder of a tenant.
func tenantPrefix(tenant string) string { return "tenants/" + tenant + "/" }

// ownFilesOnly is the second protection between tenants. It denies access to
// the files of other tenants, even if a handler has a bug.
func ownFilesOnly(_ context.Context, e audit.Event) error {
	own := tenantPrefix(e.Actor.TenantID)
	if e.Actor.TenantID == "" || !strings.HasPrefix(e.Key, own) || e.SourceKey != "" && !strings.HasPrefix(e.SourceKey, own) {
		return errors.New("not a file of the actor's tenant")
	}
	return nil
}

const columns = "id, tenant_id, user_id, number, issued_on, total_cents, currency, transaction_id, state, file_key, filename, size, content_type, sha256, created_at, changed_at"

// insert stores the row. db may be a transaction.
func insert(ctx context.Context, db sqlx.ExtContext, i *invoice) error {
	_, err := sqlx.NamedExecContext(ctx, db, "INSERT INTO invoices ("+columns+") VALUES (:"+strings.ReplaceAll(columns, ", ", ", :")+")", i)
	return err
}

// find returns an invoice of the actor's tenant, if it is in one of the states.
// If no such invoice exists, the error is fs.ErrNotExist.
func (s *service) find(ctx context.Context, id string, states ...string) (*invoice, error) {
	a, _ := audit.ActorFrom(ctx)
	if u, err := uuid.Parse(id); err != nil || u.String() != id || a.TenantID == "" {
		return nil, fs.ErrNotExist
	}
	query, args, err := sqlx.In("SELECT "+columns+" FROM invoices WHERE id = ? AND tenant_id = ? AND state IN (?)", id, a.TenantID, states)
	if err != nil {
		return nil, err
	}
	var i invoice
	err = s.db.GetContext(ctx, &i, s.db.Rebind(query), args...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fs.ErrNotExist
	}
	return &i, err
}

const pageSize = 50

// list returns a page of the stored invoices of the actor's tenant, newest
// first.
func (s *service) list(ctx context.Context, page int) (invoices []*invoice, more bool, err error) {
	a, _ := audit.ActorFrom(ctx)
	err = s.db.SelectContext(ctx, &invoices, s.db.Rebind("SELECT "+columns+" FROM invoices WHERE tenant_id = ? AND state = ? ORDER BY created_at DESC, id LIMIT ? OFFSET ?"),
		a.TenantID, stateStored, pageSize+1, page*pageSize)
	if len(invoices) > pageSize {
		invoices, more = invoices[:pageSize], true
	}
	return invoices, more, err
}

// move changes the state of an invoice, unless it was changed concurrently.
func (s *service) move(ctx context.Context, i *invoice, to string) error {
	res, err := s.db.ExecContext(ctx, s.db.Rebind("UPDATE invoices SET state = ?, size = ?, content_type = ?, sha256 = ?, filename = ?, changed_at = ? WHERE id = ? AND tenant_id = ? AND state = ?"),
		to, i.Size, i.ContentType, i.SHA256, i.Filename, time.Now().UnixMilli(), i.ID, i.TenantID, i.State)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fs.ErrNotExist)
	}
	i.State = to
	return nil
}

// moveOnce is like move, but also succeeds if the invoice is already in the new
// state, because of a concurrent request.
func (s *service) moveOnce(ctx context.Context, i *invoice, to string) error {
	err := s.move(ctx, i, to)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var state string
	gerr := s.db.GetContext(ctx, &state, s.db.Rebind("SELECT state FROM invoices WHERE id = ? AND tenant_id = ?"), i.ID, i.TenantID)
	switch {
	case gerr != nil && !errors.Is(gerr, sql.ErrNoRows):
		return gerr
	case state != to:
		return err
	}
	i.State = to
	return nil
}

// details are the details of an invoice, from a client or a PDF.
type details struct {
	Number, Date, Total, Currency, TransactionID string
}

// set validates d and sets the details. The error lists all invalid fields.
func (i *invoice) set(d details) error {
	var wrong []string
	number, transaction := strings.TrimSpace(d.Number), strings.TrimSpace(d.TransactionID)
	if n := utf8.RuneCountInString(number); n == 0 || n > 64 || !storable(number) {
		wrong = append(wrong, "number: want 1 to 64 characters")
	}
	if _, err := time.Parse(time.DateOnly, d.Date); err != nil {
		wrong = append(wrong, "date: want a day such as 2026-11-02")
	}
	cents, ok := parseCents(d.Total)
	if !ok {
		wrong = append(wrong, "total: want an amount such as 2403.80")
	}
	currency := strings.ToUpper(strings.TrimSpace(d.Currency))
	if currency == "" {
		currency = "EUR"
	}
	if len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		wrong = append(wrong, "currency: want three letters such as EUR")
	}
	if !goodTransaction(transaction) {
		wrong = append(wrong, wantTransaction)
	}
	if len(wrong) > 0 {
		return refuse(422, "details", titleDetails, strings.Join(wrong, "; ")+".")
	}
	i.Number, i.IssuedOn, i.TotalCents, i.Currency, i.TransactionID = number, d.Date, cents, currency, transaction
	return nil
}

const (
	titleDetails    = "Invalid invoice details"
	wantTransaction = "transaction_id: want at most 64 characters"
)

func goodTransaction(id string) bool { return utf8.RuneCountInString(id) <= 64 && storable(id) }

// storable reports whether every database stores a text unchanged.
func storable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// parseCents parses an amount with a decimal point and at most two decimals.
func parseCents(text string) (int64, bool) {
	whole, frac, hasFrac := strings.Cut(strings.TrimSpace(text), ".")
	if whole == "" || whole == "-" || len(whole) > 13 || hasFrac && (len(frac) == 0 || len(frac) > 2) || strings.Trim(whole+frac, "-0123456789") != "" || strings.Contains(frac, "-") {
		return 0, false
	}
	n, err := strconv.ParseInt(whole+(frac + "00")[:2], 10, 64)
	return n, err == nil
}
