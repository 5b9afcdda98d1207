package blobhttp

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/blobtrail/blobtrail/audit"
)

// Problem is the body of an error response: a problem document of RFC 9457,
// with media type application/problem+json. Its codes are stable;
// docs/problems.md lists them.
//
// A function of the application, such as Intake.Prepare, can return a *Problem
// to define the response itself. Only Status is required, from 400 to 599.
type Problem struct { //nolint:errname // the body of a response first
	Type      string `json:"type"`             // URL of the documentation of Code; "about:blank" for codes of the application
	Title     string `json:"title"`            // the same for every error with this Code; default: standard phrase of Status
	Status    int    `json:"status"`           // HTTP status
	Code      string `json:"code"`             // for programs; default: general code of Status, such as "not_found"
	Detail    string `json:"detail,omitempty"` // the next step for the client
	RequestID string `json:"request_id,omitempty"`

	// Extensions are additional members of the JSON object. A member named like
	// a field above is omitted.
	Extensions map[string]any `json:"-"`

	// Err is the cause. It is never sent to the client. errors.Is, errors.As,
	// the log and MiddlewareOptions.OnError include it.
	Err error `json:"-"`
}

// Error implements error.
func (p *Problem) Error() string {
	text := strings.Trim(p.Code+": "+p.Title, ": ")
	if text == "" {
		text = strconv.Itoa(p.Status) + " " + http.StatusText(p.Status)
	}
	if p.Err != nil {
		text += ": " + p.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (p *Problem) Unwrap() error { return p.Err }

// ProblemOf returns the problem of [WriteError]'s response to err, for an
// application with its own error page. If err is nil, it returns nil.
//
// A status below 500 means the client can correct the request. Problem.Err is
// the cause; do not show it to the client.
func ProblemOf(err error) *Problem {
	if err == nil {
		return nil
	}
	out := Problem{Err: err}
	if p := (*Problem)(nil); errors.As(err, &p) && p.Status >= 400 && p.Status <= 599 {
		out = *p
		if err != error(p) {
			out.Err = err
		}
	} else {
		k := kindOf(err)
		out.Status, out.Code, out.Title, out.Detail = k.status, k.code, k.phrase(), k.detailOf(err)
	}
	if out.Code == "" {
		out.Code = codeFor(out.Status)
	}
	if out.Title == "" {
		out.Title = titleFor(out.Status)
	}
	if out.Type == "" {
		out.Type = typeFor(out.Code)
	}
	return &out
}

// codeFor returns the general code of a status. If the table has none, the code
// is derived from the standard phrase, such as "too_many_requests".
func codeFor(status int) string {
	if k := generalKind(status); k != nil {
		return k.code
	}
	return strings.ReplaceAll(strings.ToLower(titleFor(status)), " ", "_")
}

func titleFor(status int) string {
	if k := generalKind(status); k != nil {
		return k.phrase()
	}
	return standardPhrase(status)
}

// typeURL is the documentation page. It has one section per code of the table.
const typeURL = "https://github.com/blobtrail/blobtrail/blob/main/docs/problems.md#"

func typeFor(code string) string {
	for i := range problemKinds {
		if problemKinds[i].code == code {
			return typeURL + code
		}
	}
	return "about:blank"
}

// retryAfter is the value of Retry-After, in seconds.
const retryAfter = "5"

// dropped lists response headers of the content. An error response removes
// them.
var dropped = []string{
	"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Etag", "Last-Modified", "Repr-Digest",
}

// WriteError responds to err with a [Problem]. The response reveals only the
// kind of the error: it contains no key, no folder and no text of a backend.
// Call WriteError before the response has started. For HEAD, it sends no body.
//
// A response with status 401 gets the challenge of [MiddlewareOptions], and one
// with status 503 gets Retry-After, unless that header is already set.
//
// WriteError passes err to MiddlewareOptions.OnError. If OnError is nil, it
// logs errors with a status of 500 or above, and each [ErrMisconfigured], with
// slog.Default. Apart from the error, it logs only the pattern and the ID of the
// request.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		err = errors.New("blobhttp: WriteError: the error is nil")
	}
	report(r, err)
	ProblemOf(err).write(w, r)
}

// identified returns a copy of p with the ID of the request.
func (p *Problem) identified(r *http.Request) *Problem {
	out := *p
	if id := requestID(r); saneRequestID(id) {
		out.RequestID = id
	}
	return &out
}

// body returns p as JSON, including its extensions.
func (p *Problem) body() ([]byte, error) {
	body, err := json.Marshal(p)
	if err != nil || len(p.Extensions) == 0 {
		return body, err
	}
	all := maps.Clone(p.Extensions)
	var own map[string]any
	if err := json.Unmarshal(body, &own); err != nil {
		return nil, err
	}
	maps.Copy(all, own)
	return json.Marshal(all)
}

func (p *Problem) write(w http.ResponseWriter, r *http.Request) {
	p = p.identified(r)
	body, err := p.body()
	if err != nil {
		p.Extensions = nil
		body, _ = p.body() // strings and numbers can always be encoded
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
	if p.Status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", retryAfter)
	}
	if p.Status == http.StatusUnauthorized && h.Get("Www-Authenticate") == "" {
		h.Set("Www-Authenticate", challenge(r))
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // ignore a disconnected client
	}
}

func requestID(r *http.Request) string {
	a, _ := audit.ActorFrom(r.Context())
	return a.RequestID
}
