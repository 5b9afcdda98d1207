package blobhttp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/internal/limit"
	"github.com/blobtrail/blobtrail/signurl"
)

// problemKind is a kind of error as the client sees it.
type problemKind struct {
	code   string
	status int
	title  string // empty: the standard phrase of status
	detail string // the next step, unless the error has its own; see reason
	// general marks the kind that a Problem with the status alone is of.
	general bool
	errs    []error
}

// problemKinds lists each code once. The first kind whose error is in the chain
// applies. docs/problems.md explains the codes.
var problemKinds = []problemKind{
	{code: "in_doubt", status: 503, title: "Outcome unknown", detail: retryAfterCheck, errs: []error{blobstore.ErrInDoubt}},
	{code: "audit", status: 503, title: "Audit trail unavailable", detail: retryAfterCheck, errs: []error{blobstore.ErrAudit}},
	{code: "internal", status: 500, general: true},
	{code: "bad_link", status: 403, title: "Invalid link", errs: []error{errStrayLink, signurl.ErrSignature}},
	{code: "expired", status: 410, title: "Link expired", detail: "Request a new link.", errs: []error{signurl.ErrExpired}},
	{code: "revoked", status: 410, title: "Link revoked or used up", detail: "Request a new link.", errs: []error{signurl.ErrRevoked}},
	{code: "method", status: 405, general: true, errs: []error{signurl.ErrMethod, errMethod}},
	{code: "unauthenticated", status: 401, general: true, title: "Authentication required", errs: []error{errUnauthenticated, audit.ErrNoActor}},
	{code: "denied", status: 403, general: true, errs: []error{errNotYours, errCrossOrigin, blobstore.ErrDenied}},
	{code: "constraint", status: 422, title: "Upload violates the link", errs: []error{signurl.ErrConstraint}},
	{code: "precondition", status: 412, general: true, errs: []error{errPrecondition}},
	{code: "bad_request", status: 400, general: true, errs: []error{errNoFile, errBadRequest, errBadForm}},
	{code: "bad_key", status: 400, title: "Invalid file name", errs: []error{blobstore.ErrInvalidKey}},
	{code: "too_many", status: 413, title: "Too many files or fields", errs: []error{errTooMany}},
	{code: "too_large", status: 413, general: true, title: "Content too large", errs: []error{blobstore.ErrTooLarge}},
	{code: "type", status: 415, general: true, detail: "Files of this type are not allowed.", errs: []error{errNotForm, errNotJSON, errCoding, blobstore.ErrContentType}},
	{code: "checksum", status: 422, title: "Checksum mismatch", errs: []error{blobstore.ErrChecksum}},
	{code: "range", status: 416, general: true, title: "Range not satisfiable", errs: []error{blobstore.ErrRange}},
	{code: "busy", status: 409, title: "Upload in use", detail: "Another request works on this upload. Try again.", errs: []error{blobstore.ErrBusy}},
	{code: "replaced", status: 409, title: "File replaced concurrently", detail: "Try again.", errs: []error{blobstore.ErrReplaced}},
	// Before not_found: an error of a missing bucket or path wraps fs.ErrNotExist too.
	{code: "unavailable", status: 503, general: true, detail: "Try again later.", errs: []error{blobstore.ErrNoBucket, blobstore.ErrClosed, context.Canceled}},
	{code: "unsupported", status: 501, general: true, title: "Not supported", errs: []error{blobstore.ErrPath, blobstore.ErrUnsupported}},
	{code: "not_found", status: 404, general: true, title: "File not found", errs: []error{fs.ErrNotExist}},
	{code: "exists", status: 409, title: "File already exists", errs: []error{fs.ErrExist}},
	{code: "no_space", status: 507, general: true, errs: []error{syscall.ENOSPC, syscall.EDQUOT}},
	{code: "truncated", status: 400, title: "Incomplete request body", errs: []error{io.ErrUnexpectedEOF, io.ErrNoProgress, errBody}},
	{code: "upstream_timeout", status: 504, general: true, title: "Storage timeout", detail: "Try again later.", errs: []error{context.DeadlineExceeded}},
	{code: "request_timeout", status: 408, general: true, errs: []error{errSlow}},
}

const retryAfterCheck = "Check whether the operation took effect before retrying."

// reason is an error of this package that has its own detail for the client.
type reason struct{ text, detail string }

func (e *reason) Error() string { return e.text }

// Errors of this package, for the table.
var (
	errUnauthenticated = errors.New("not authenticated")
	errNotYours        = &reason{"the link is bound to another user or address", "The link is restricted to another user or address."}
	errCrossOrigin     = &reason{"sent by a page of another origin", "Cross-origin requests are not allowed here."}
	errMethod          = errors.New("method not allowed")
	errStrayLink       = &reason{"the request carries a signed link", "Links are not accepted at this address."}
	errNoFile          = &reason{"no file in the form", "The form contains no file."}
	errTooMany         = errors.New("too many files or fields")
	errNotForm         = &reason{"not a multipart form", "Send a form as multipart/form-data."}
	errNotJSON         = &reason{"not JSON", "Send JSON as application/json."}
	errBadForm         = &reason{"malformed form", "The form is malformed."}
	errPrecondition    = errors.New("precondition failed")
	errBadRequest      = errors.New("bad request")
	errCoding          = &reason{"content coding not supported", "Send the content without Content-Encoding."}
	errBody            = errors.New("the request's body could not be read")
	errSlow            = errors.New("the request's body came too slowly")
)

// detailedError carries the detail for one kind of error.
type detailedError struct {
	error
	of     error // the detail is for errors of this kind
	detail string
}

func (e *detailedError) Unwrap() error { return e.error }

// kindOf returns the kind of err.
func kindOf(err error) *problemKind {
	var se *blobstore.Error
	reading := errors.As(err, &se) && (se.Op == "download" || se.Op == "stat")
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, new(*Problem)): // with an invalid status, which would panic in net/http
		return generalKind(http.StatusInternalServerError)
	case errors.Is(err, errBody) && errors.Is(err, os.ErrDeadlineExceeded):
		err = errSlow
	case errors.As(err, &tooLarge): // of the application, by http.MaxBytesHandler
		err = blobstore.ErrTooLarge
	}
	for i := range problemKinds {
		k := &problemKinds[i]
		for _, target := range k.errs {
			if !errors.Is(err, target) {
				continue
			}
			if reading && (target == blobstore.ErrChecksum || target == io.ErrUnexpectedEOF || target == io.ErrNoProgress) {
				return generalKind(http.StatusInternalServerError) // the stored object is damaged
			}
			return k
		}
	}
	return generalKind(http.StatusInternalServerError)
}

// generalKind returns the kind of a problem with the status alone, or nil.
func generalKind(status int) *problemKind {
	for i := range problemKinds {
		if k := &problemKinds[i]; k.general && k.status == status {
			return k
		}
	}
	return nil
}

func (k *problemKind) phrase() string {
	if k.title != "" {
		return k.title
	}
	return standardPhrase(k.status)
}

// standardPhrase returns the phrase of a status, such as "Method not allowed".
func standardPhrase(status int) string {
	text := http.StatusText(status)
	if text == "" {
		return "Status " + strconv.Itoa(status)
	}
	return text[:1] + strings.ToLower(text[1:])
}

// detailOf returns the detail of err, which is of kind k.
func (k *problemKind) detailOf(err error) string {
	tooLarge := (*http.MaxBytesError)(nil)
	for _, target := range k.errs {
		if !errors.Is(err, target) {
			continue
		}
		if r, ok := target.(*reason); ok { //nolint:errorlint // a target of the table is never wrapped
			return r.detail
		}
		if d := (*detailedError)(nil); errors.As(err, &d) && d.of == target {
			return d.detail
		}
		if target == signurl.ErrConstraint {
			return constraintDetail(err)
		}
	}
	switch l := (*limit.Error)(nil); {
	case k.code == "too_large" && errors.As(err, &tooLarge):
		return sizeDetail(tooLarge.Limit)
	case k.code == "too_large" && errors.As(err, &l) && l.MaxSize > 0:
		return sizeDetail(l.MaxSize)
	case k.code == "type" && errors.As(err, &l) && len(l.Types) > 0:
		return k.detail + " Allowed are: " + strings.Join(l.Types, ", ") + "."
	}
	return k.detail
}

func sizeDetail(most int64) string {
	return "The limit is " + strconv.FormatInt(most, 10) + " bytes."
}

// constraintDetail returns the reason in an error of signurl. Those texts are made
// for the holder of the link and quote nothing.
func constraintDetail(err error) string {
	for err != nil {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		inner := u.Unwrap()
		if inner == signurl.ErrConstraint {
			return err.Error()[min(len(err.Error()), len(inner.Error())+len(": ")):] + "."
		}
		err = inner
	}
	return ""
}
