package blobhttp

// Errors as answers. One table says what each error means to a client; nothing of an error's own text gets out, since
// it may name keys, folders and services.

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strconv"
	"syscall"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// Problem is the body of an answer to what failed, in the form of RFC 9457, as
// application/problem+json.
type Problem struct { //nolint:errname // it is the body of an answer first
	Type      string `json:"type"`             // the URL that explains Code; "about:blank" for one of the host's own
	Title     string `json:"title"`            // the same for the same Code
	Status    int    `json:"status"`           // the HTTP status
	Code      string `json:"code"`             // one of the constants of this package, or the host's own
	Detail    string `json:"detail,omitempty"` // what would be right, where that can be told
	RequestID string `json:"request_id,omitempty"`

	// Extensions are further members of the JSON object, as RFC 9457 allows them.
	// One with the name of a field above is left out.
	Extensions map[string]any `json:"-"`
}

// Error implements error, so that a function of the host can refuse a request in
// its own words: [WriteError] answers an error that wraps a *Problem with its
// Status, Title, Code, Detail and Extensions. The first three are required; the
// Status is one of 400 to 599, and the Code may be a word of the host's own.
func (p *Problem) Error() string { return p.Code + ": " + p.Title }

// typeURL is where the type of a problem is explained: the constants below.
const typeURL = "https://pkg.go.dev/github.com/blobtrail/blobtrail/blobstore/blobhttp#"

// Codes of a [Problem]. They are stable.
const (
	CodeBadRequest      = "bad_request"      // 400: the request is not one that can be understood
	CodeTruncated       = "truncated"        // 400: the body ended before it was complete
	CodeKey             = "bad_key"          // 400: the key breaks a rule
	CodeUnauthenticated = "unauthenticated"  // 401: nobody is logged in
	CodeDenied          = "denied"           // 403: this user or address may not do that
	CodeLink            = "bad_link"         // 403: the link was not signed here, or was changed
	CodeNotFound        = "not_found"        // 404: there is no such file
	CodeMethod          = "method"           // 405: not with this method; see the Allow header
	CodeSlow            = "request_timeout"  // 408: the request's body came too slowly
	CodeExists          = "exists"           // 409: the name is taken
	CodeBusy            = "busy"             // 409: another request is at the same upload; ask again
	CodeReplaced        = "replaced"         // 409: the file was replaced again and again meanwhile
	CodeExpired         = "expired"          // 410: the link's time is over
	CodeRevoked         = "revoked"          // 410: the link was withdrawn or is used up
	CodePrecondition    = "precondition"     // 412: a condition of the request does not hold
	CodeTooLarge        = "too_large"        // 413: the file is larger than is allowed
	CodeTooMany         = "too_many"         // 413: there are more files or fields than are allowed
	CodeType            = "type"             // 415: files of this type are not allowed
	CodeRange           = "range"            // 416: the range begins behind the end
	CodeChecksum        = "checksum"         // 422: the content is not what its checksum says
	CodeConstraint      = "constraint"       // 422: the upload is not what the link allows
	CodeInternal        = "internal"         // 500: not the client's fault
	CodeUnsupported     = "unsupported"      // 501: this can't be done here
	CodeAudit           = "audit"            // 503: no record could be written, so nothing may be done
	CodeInDoubt         = "in_doubt"         // 503: it is not known yet whether it was done
	CodeUnavailable     = "unavailable"      // 503: not now; see the Retry-After header
	CodeTimeout         = "upstream_timeout" // 504: the storage took too long
	CodeNoSpace         = "no_space"         // 507: the storage is full
)

// constants are the names of the constants, which are what the type of a problem points to.
var constants = map[string]string{
	CodeBadRequest:      "CodeBadRequest",
	CodeTruncated:       "CodeTruncated",
	CodeKey:             "CodeKey",
	CodeUnauthenticated: "CodeUnauthenticated",
	CodeDenied:          "CodeDenied",
	CodeLink:            "CodeLink",
	CodeNotFound:        "CodeNotFound",
	CodeMethod:          "CodeMethod",
	CodeSlow:            "CodeSlow",
	CodeExists:          "CodeExists",
	CodeBusy:            "CodeBusy",
	CodeReplaced:        "CodeReplaced",
	CodeExpired:         "CodeExpired",
	CodeRevoked:         "CodeRevoked",
	CodePrecondition:    "CodePrecondition",
	CodeTooLarge:        "CodeTooLarge",
	CodeTooMany:         "CodeTooMany",
	CodeType:            "CodeType",
	CodeRange:           "CodeRange",
	CodeChecksum:        "CodeChecksum",
	CodeConstraint:      "CodeConstraint",
	CodeInternal:        "CodeInternal",
	CodeUnsupported:     "CodeUnsupported",
	CodeAudit:           "CodeAudit",
	CodeInDoubt:         "CodeInDoubt",
	CodeUnavailable:     "CodeUnavailable",
	CodeTimeout:         "CodeTimeout",
	CodeNoSpace:         "CodeNoSpace",
}

type verdict struct {
	status      int
	code, title string
	detail      string
}

// Errors of this package's own, for the table.
var (
	errUnauthenticated = errors.New("not authenticated")
	errNotYours        = errors.New("the link is bound to another user or address")
	errCrossOrigin     = errors.New("sent by a page of another origin")
	errMethod          = errors.New("method not allowed")
	errStrayLink       = errors.New("the request carries a signed link")
	errSigner          = errors.New("the store did not verify the link")
	errNoFile          = errors.New("no file in the form")
	errTooMany         = errors.New("too many files or fields")
	errNotForm         = errors.New("not a multipart form")
	errNotJSON         = errors.New("not JSON")
	errBadForm         = errors.New("malformed form")
	errPrecondition    = errors.New("precondition failed")
	errBadRequest      = errors.New("bad request")
	errCoding          = errors.New("content coding not supported")
	errBody            = errors.New("the request's body could not be read")
)

var (
	slow        = verdict{408, CodeSlow, "The content came too slowly", ""}
	internal    = verdict{500, CodeInternal, "Something went wrong on our side", ""}
	notFound    = verdict{404, CodeNotFound, "There is no such file", ""}
	noSpace     = verdict{507, CodeNoSpace, "The storage is full", ""}
	unavailable = verdict{503, CodeUnavailable, "Not available at the moment", "Try again later."}
)

// verdicts are what errors mean to a client, the first that fits.
var verdicts = []struct {
	err error
	verdict
}{
	{blobstore.ErrInDoubt, verdict{503, CodeInDoubt, "It is not known yet whether this was done", "Look before trying again."}},
	{blobstore.ErrAudit, verdict{503, CodeAudit, "Not available at the moment", "Look before trying again."}},

	{errStrayLink, verdict{403, CodeLink, "The link is not valid", "Links are not accepted at this address."}},
	{errSigner, internal},
	{signurl.ErrSignature, verdict{403, CodeLink, "The link is not valid", ""}},
	{signurl.ErrExpired, verdict{410, CodeExpired, "The link has expired", "Ask for a new one."}},
	{signurl.ErrRevoked, verdict{410, CodeRevoked, "The link was withdrawn or is used up", "Ask for a new one."}},
	{signurl.ErrMethod, verdict{405, CodeMethod, "Not with this method", ""}},
	{errMethod, verdict{405, CodeMethod, "Not with this method", ""}},
	{errNotYours, verdict{403, CodeDenied, "The link is for somebody else", ""}},
	{signurl.ErrConstraint, verdict{422, CodeConstraint, "The upload is not what the link allows", ""}},

	{errUnauthenticated, verdict{401, CodeUnauthenticated, "Log in first", ""}},
	{audit.ErrNoActor, verdict{401, CodeUnauthenticated, "Log in first", ""}},
	{blobstore.ErrDenied, verdict{403, CodeDenied, "Not allowed", ""}},

	{errCrossOrigin, verdict{403, CodeDenied, "Not allowed", "A page of another origin may not send this."}},

	{errPrecondition, verdict{412, CodePrecondition, "A condition of the request does not hold", ""}},
	{errNoFile, verdict{400, CodeBadRequest, "There is no file in the form", ""}},
	{errTooMany, verdict{413, CodeTooMany, "Too many files or fields", ""}},
	{errNotForm, verdict{415, CodeType, "Send a form as multipart/form-data", ""}},
	{errNotJSON, verdict{415, CodeType, "Send JSON as application/json", ""}},
	{errCoding, verdict{415, CodeType, "Send the content as it is, without Content-Encoding", ""}},
	{errBadRequest, verdict{400, CodeBadRequest, "The request can't be understood", ""}},
	{blobstore.ErrInvalidKey, verdict{400, CodeKey, "The name is not allowed", ""}},
	{blobstore.ErrTooLarge, verdict{413, CodeTooLarge, "The file is too large", ""}},
	{blobstore.ErrContentType, verdict{415, CodeType, "Files of this type are not allowed", ""}},
	{blobstore.ErrChecksum, verdict{422, CodeChecksum, "The content is not what its checksum says", ""}},
	{blobstore.ErrRange, verdict{416, CodeRange, "The range begins behind the end of the file", ""}},
	{blobstore.ErrBusy, verdict{409, CodeBusy, "Another request is at this upload", "Try again."}},
	{blobstore.ErrReplaced, verdict{409, CodeReplaced, "The file was replaced meanwhile", "Try again."}},
	{blobstore.ErrNoBucket, unavailable}, // before that of a missing file
	{blobstore.ErrPath, verdict{501, CodeUnsupported, "This can't be done here", ""}},
	{fs.ErrNotExist, notFound},
	{fs.ErrExist, verdict{409, CodeExists, "There is a file of that name", ""}},
	{blobstore.ErrUnsupported, verdict{501, CodeUnsupported, "This can't be done here", ""}},
	{syscall.ENOSPC, noSpace},
	{syscall.EDQUOT, noSpace},
	{fs.ErrPermission, internal}, // of the store, not of the client
	{io.ErrUnexpectedEOF, verdict{400, CodeTruncated, "The content ended too early", ""}},
	{io.ErrNoProgress, verdict{400, CodeTruncated, "The content ended too early", ""}},
	{errBody, verdict{400, CodeTruncated, "The content ended too early", ""}},
	{errBadForm, verdict{400, CodeBadRequest, "The form can't be understood", ""}},
	{blobstore.ErrClosed, unavailable},
	{context.DeadlineExceeded, verdict{504, CodeTimeout, "The storage took too long", "Try again later."}},
	{context.Canceled, unavailable},
}

// judge returns what err means to a client.
func judge(err error) verdict {
	var se *blobstore.Error
	reading := errors.As(err, &se) && (se.Op == "download" || se.Op == "stat")
	if errors.Is(err, errBody) && errors.Is(err, os.ErrDeadlineExceeded) {
		return slow
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		err = blobstore.ErrTooLarge // the host's own limit, by http.MaxBytesHandler
	}
	if p := (*Problem)(nil); errors.As(err, &p) {
		if p.Status < 400 || p.Status > 599 {
			return internal // a mistake of the host, which net/http might panic of
		}
		return verdict{p.Status, p.Code, p.Title, p.Detail}
	}
	for _, v := range verdicts {
		if !errors.Is(err, v.err) {
			continue
		}
		switch {
		case reading && (v.err == blobstore.ErrChecksum || v.err == io.ErrUnexpectedEOF || v.err == io.ErrNoProgress):
			return internal // what is stored is damaged
		case v.err == signurl.ErrConstraint:
			v.detail = constraintDetail(err)
		}
		return v.verdict
	}
	return internal
}

// StatusOf returns the HTTP status that [WriteError] answers err with. Below 500
// it is the client's doing.
func StatusOf(err error) int { return judge(err).status }

// constraintDetail returns the reason in an error of signurl, whose texts are
// made for whoever holds the link and quote nothing.
func constraintDetail(err error) string {
	for err != nil {
		if u, ok := err.(interface{ Unwrap() error }); ok {
			inner := u.Unwrap()
			if inner == signurl.ErrConstraint {
				return err.Error()[min(len(err.Error()), len(inner.Error())+len(": ")):] + "."
			}
			err = inner
			continue
		}
		return ""
	}
	return ""
}

// unidentified is the error of a host's function that could not tell who sends
// a request.
func unidentified(err error) error {
	if errors.Is(err, blobstore.ErrDenied) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errors.Join(errUnauthenticated, err)
}

// retryAfter is the number of seconds after which a client may retry.
const retryAfter = "5"

// dropped are headers of an answer that describe content which is not sent
// after all.
var dropped = []string{
	"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Etag", "Last-Modified", "Repr-Digest",
}

// WriteError answers err as a [Problem]. It gives away nothing but the kind of
// the error: no key, folder or text of a backend. It must be called before the
// answer has begun; on HEAD it sends no body. A 401 gets the challenge of
// [MiddlewareOptions], unless there is one among the headers already, and a 503
// gets Retry-After in the same way.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	v := judge(err)
	var extensions map[string]any
	if p := (*Problem)(nil); errors.As(err, &p) && p.Status == v.status {
		extensions = p.Extensions
	}
	writeProblem(w, r, v, extensions)
}

func problem(r *http.Request, v verdict) Problem {
	p := Problem{Type: "about:blank", Title: v.title, Status: v.status, Code: v.code, Detail: v.detail}
	if name := constants[v.code]; name != "" {
		p.Type = typeURL + name
	}
	if a, ok := audit.ActorFrom(r.Context()); ok && saneRequestID(a.RequestID) {
		p.RequestID = a.RequestID
	}
	return p
}

// body returns the JSON of p with further members.
func (p Problem) body(extensions map[string]any) ([]byte, error) {
	body, err := json.Marshal(p)
	if err != nil || len(extensions) == 0 {
		return body, err
	}
	all := make(map[string]any, len(extensions)+6)
	maps.Copy(all, extensions)
	var own map[string]any
	if err := json.Unmarshal(body, &own); err != nil {
		return nil, err
	}
	maps.Copy(all, own)
	return json.Marshal(all)
}

func writeProblem(w http.ResponseWriter, r *http.Request, v verdict, extensions map[string]any) {
	p := problem(r, v)
	body, err := p.body(extensions)
	if err != nil {
		body, _ = p.body(nil) // strings and numbers can always be encoded
	}
	h := w.Header()
	for _, name := range dropped {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	h["Content-Security-Policy"] = cspSandbox
	h["Referrer-Policy"] = noReferrer
	if v.status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", retryAfter)
	}
	if v.status == http.StatusUnauthorized && h.Get("Www-Authenticate") == "" {
		h.Set("Www-Authenticate", challenge(r))
	}
	w.WriteHeader(v.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that is gone needs no answer
	}
}

// reportTo returns the function that hears of errors: the host's, or one that
// logs what is not the client's doing.
func reportTo(onError func(*http.Request, error), mistakes *mistakeLog) func(*http.Request, error) {
	if onError != nil {
		return func(r *http.Request, err error) { onError(r, explain(r.Context(), err)) }
	}
	return func(r *http.Request, err error) {
		if m := (*misconfiguredError)(nil); errors.As(explain(r.Context(), err), &m) {
			mistakes.log(r, m)
			return
		}
		if r.Context().Err() != nil || StatusOf(err) < 500 {
			return
		}
		slog.ErrorContext(r.Context(), "blobhttp: request failed", "request_id", requestID(r), "error", err)
	}
}

func requestID(r *http.Request) string {
	a, _ := audit.ActorFrom(r.Context())
	return a.RequestID
}
