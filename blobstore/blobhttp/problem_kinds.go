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

// problemKind is a class of errors with the same response.
type problemKind struct {
	code   string
	status int
	title  string // default: the standard phrase of status
	detail string // default detail; a reason or detailedError replaces it
	// general marks the default kind of a status.
	general bool
	errs    []error
}

// problemKinds lists each code once. kindOf selects the first kind with an
// error in the chain. docs/problems.md documents the codes.
var problemKinds = []problemKind{
	{code: "in_doubt", status: 503, title: "Outcome unknown", detail: retryAfterCheck, errs: []error{blobstore.ErrInDoubt}},
	{code: "audit", status: 503, title: "Audit trail unavailable", detail: retryAfterCheck, errs: []error{blobstore.ErrAudit}},
	{code: "internal", status: 500, general: true, detail: "Try again. If the error persists, report its request ID to the operator."},
	{code: "bad_link", status: 403, title: "Invalid link", detail: "Request a new link.", errs: []error{errStrayLink, signurl.ErrSignature}},
	{code: "expired", status: 410, title: "Link expired", detail: "Request a new link.", errs: []error{signurl.ErrExpired}},
	{code: "revoked", status: 410, title: "Link revoked or used up", detail: "Request a new link.", errs: []error{signurl.ErrRevoked}},
	{code: "method", status: 405, general: true, detail: "Use a method listed in the Allow header.", errs: []error{signurl.ErrMethod, errMethod}},
	{code: "unauthenticated", status: 401, general: true, title: "Authentication required", detail: "Authenticate and try again.", errs: []error{errUnauthenticated, audit.ErrNoActor}},
	{code: "denied", status: 403, general: true, detail: "You lack the permission for this operation.", errs: []error{errNotYours, errCrossOrigin, blobstore.ErrDenied}},
	{code: "constraint", status: 422, title: "Link constraint violated", errs: []error{signurl.ErrConstraint}},
	{code: "precondition", status: 412, general: true, detail: "Fetch the current state of the file before retrying.", errs: []error{errPrecondition}},
	{code: "bad_request", status: 400, general: true, detail: "Correct the request and send it again.", errs: []error{errNoFile, errBadRequest, errBadForm}},
	{code: "bad_key", status: 400, title: "Invalid file name", detail: "Choose a different file name.", errs: []error{blobstore.ErrInvalidKey}},
	{code: "too_many", status: 413, title: "Too many files or fields", detail: "Send fewer files or fields.", errs: []error{errTooMany}},
	{code: "too_large", status: 413, general: true, title: "Content too large", detail: "Send a smaller file.", errs: []error{blobstore.ErrTooLarge}},
	{code: "type", status: 415, general: true, detail: "Files of this type are not allowed.", errs: []error{errNotForm, errNotJSON, errCoding, blobstore.ErrContentType}},
	{code: "checksum", status: 422, title: "Checksum mismatch", detail: "The content does not match its checksum. Send it again.", errs: []error{blobstore.ErrChecksum}},
	{code: "range", status: 416, general: true, title: "Range not satisfiable", detail: "Request a range within the file.", errs: []error{blobstore.ErrRange}},
	{code: "busy", status: 409, title: "Upload in use", detail: "Another request is using this upload. Try again.", errs: []error{blobstore.ErrBusy}},
	{code: "replaced", status: 409, title: "File replaced concurrently", detail: "Other requests kept replacing the file. Try again.", errs: []error{blobstore.ErrReplaced}},
	// Before not_found, because the error of a missing bucket or path also
	// wraps fs.ErrNotExist.
	{code: "unavailable", status: 503, general: true, detail: "Try again later.", errs: []error{blobstore.ErrNoBucket, blobstore.ErrClosed, context.Canceled}},
	{code: "unsupported", status: 501, general: true, title: "Not supported", detail: "The storage or this address does not support the operation.", errs: []error{blobstore.ErrPath, blobstore.ErrUnsupported}},
	{code: "not_found", status: 404, general: true, title: "File not found", detail: "The file does not exist or is not available to you. Check its address.", errs: []error{fs.ErrNotExist}},
	{code: "exists", status: 409, title: "File already exists", detail: "Choose a different file name.", errs: []error{fs.ErrExist}},
	{code: "no_space", status: 507, general: true, detail: "Report this to the operator.", errs: []error{syscall.ENOSPC, syscall.EDQUOT}},
	{code: "truncated", status: 400, title: "Incomplete request body", detail: "The request body ended early. Send it again.", errs: []error{io.ErrUnexpectedEOF, io.ErrNoProgress, errBody}},
	{code: "upstream_timeout", status: 504, general: true, title: "Storage timeout", detail: "Try again later.", errs: []error{context.DeadlineExceeded}},
	{code: "request_timeout", status: 408, general: true, detail: "The request body arrived too slowly. Send it again.", errs: []error{errSlow}},
}

const retryAfterCheck = "Check whether the operation took effect before retrying."

// reason is an error with its own detail for the client.
type reason struct{ text, detail string }

func (e *reason) Error() string { return e.text }

// The errors of this package.
var (
	errUnauthenticated = errors.New("not authenticated")
	errNotYours        = &reason{"the link is restricted to another user or address", "The link is restricted to another user or address. Request your own link."}
	errCrossOrigin     = &reason{"cross-origin request", "Cross-origin requests are not allowed here. Use a page of this origin."}
	errMethod          = errors.New("method not allowed")
	errStrayLink       = &reason{"unexpected signed link", "This address does not accept links. Report this to the operator."}
	errNoFile          = &reason{"no file in the form", "The form contains no file. Add one."}
	errTooMany         = errors.New("too many files or fields")
	errNotForm         = &reason{"the request is not a multipart form", "Send a form as multipart/form-data."}
	errNotJSON         = &reason{"the request is not JSON", "Send JSON as application/json."}
	errBadForm         = &reason{"malformed form", "The form is malformed. Send it as multipart/form-data of RFC 7578."}
	errPrecondition    = errors.New("precondition failed")
	errBadRequest      = errors.New("bad request")
	errCoding          = &reason{"content coding not supported", "Send the content without Content-Encoding."}
	errBody            = errors.New("cannot read the request body")
	errSlow            = errors.New("the request body arrived too slowly")
)

// detailedError adds a detail to one kind of error.
type detailedError struct {
	error
	of     error // detail applies to errors of this kind
	detail string
}

func (e *detailedError) Unwrap() error { return e.error }

// kindOf returns the kind of err.
func kindOf(err error) *problemKind {
	var se *blobstore.Error
	reading := errors.As(err, &se) && (se.Op == "download" || se.Op == "stat")
	tooLarge := (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, new(*Problem)): // its status is invalid, and net/http would panic
		return generalKind(http.StatusInternalServerError)
	case errors.Is(err, errBody) && errors.Is(err, os.ErrDeadlineExceeded):
		err = errSlow
	case errors.As(err, &tooLarge): // from http.MaxBytesHandler of the application
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

// generalKind returns the default kind of a status, or nil.
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

// standardPhrase returns the standard phrase of a status, such as "Method not
// allowed".
func standardPhrase(status int) string {
	text := http.StatusText(status)
	if text == "" {
		return "Status " + strconv.Itoa(status)
	}
	return text[:1] + strings.ToLower(text[1:])
}

// detailOf returns the detail for err, an error of kind k.
func (k *problemKind) detailOf(err error) string {
	tooLarge := (*http.MaxBytesError)(nil)
	for _, target := range k.errs {
		if !errors.Is(err, target) {
			continue
		}
		if r, ok := target.(*reason); ok { //nolint:errorlint // the table has no wrapped errors
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
		return k.detail + " Allowed types: " + strings.Join(l.Types, ", ") + "."
	}
	return k.detail
}

func sizeDetail(most int64) string {
	return "The limit is " + strconv.FormatInt(most, 10) + " bytes."
}

// constraintDetail returns the reason in an error of signurl, as a sentence.
// Those reasons are written for the holder of the link and quote nothing.
func constraintDetail(err error) string {
	for err != nil {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		inner := u.Unwrap()
		if inner == signurl.ErrConstraint {
			return sentence(err.Error()[min(len(err.Error()), len(inner.Error())+len(": ")):])
		}
		err = inner
	}
	return ""
}

// sentence makes a sentence of a text in lowercase.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
