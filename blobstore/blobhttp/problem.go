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

// Problem is the body of an error response in the form of RFC 9457,
// application/problem+json. Its codes are stable; docs/problems.md lists them.
//
// A function of the application, such as Intake.Prepare, can return a *Problem
// to refuse a request in its own words. Only Status is required, from 400 to 599.
type Problem struct { //nolint:errname // the body of a response first
	Type      string `json:"type"`             // URL that explains Code; by default "about:blank" for a code of the application
	Title     string `json:"title"`            // the same for the same Code; by default the standard phrase of Status
	Status    int    `json:"status"`           // HTTP status
	Code      string `json:"code"`             // for programs to compare; by default the general code of Status, such as "not_found"
	Detail    string `json:"detail,omitempty"` // the next step for the client
	RequestID string `json:"request_id,omitempty"`

	// Extensions are further members of the JSON object. Members with the name of a
	// field above are left out.
	Extensions map[string]any `json:"-"`

	// Err is the cause. The client never sees it; errors.Is and errors.As, the log
	// and MiddlewareOptions.OnError do.
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

// ProblemOf returns the problem that [WriteError] responds with to err, for a
// program with its own error page. A status below 500 means that the client can
// correct the request. Err is the cause, which must not reach the client. ProblemOf
// returns nil if err is nil.
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

// codeFor returns the general code of a status. Without one in the table the code
// is the standard phrase, such as "too_many_requests".
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

// typeURL is the page with a section for each code of the table.
const typeURL = "https://github.com/blobtrail/blobtrail/blob/main/docs/problems.md#"

func typeFor(code string) string {
	for i := range problemKinds {
		if problemKinds[i].code == code {
			return typeURL + code
		}
	}
	return "about:blank"
}

// retryAfter is the number of seconds after which a client may retry.
const retryAfter = "5"

// dropped are response headers that describe content which is not sent after all.
var dropped = []string{
	"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Etag", "Last-Modified", "Repr-Digest",
}

// WriteError responds to err with a [Problem]. The response reveals the kind of
// the error only: no key, folder or text of a backend. WriteError must be called
// before the response has begun; for HEAD it sends no body. A 401 gets the
// challenge of [MiddlewareOptions], and a 503 gets Retry-After, unless the response
// already has that header.
//
// WriteError passes err to MiddlewareOptions.OnError. Without one it logs each
// error with a status of 500 and above, and each [ErrMisconfigured], with
// slog.Default. It logs nothing of the request except its pattern and ID.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		err = errors.New("blobhttp: WriteError was called without an error")
	}
	report(r, err)
	ProblemOf(err).write(w, r)
}

// identified returns p with the ID of the request.
func (p *Problem) identified(r *http.Request) *Problem {
	out := *p
	if id := requestID(r); saneRequestID(id) {
		out.RequestID = id
	}
	return &out
}

// body returns the JSON of p with its extensions.
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
		_, _ = w.Write(body) // a client that is gone needs no response
	}
}

func requestID(r *http.Request) string {
	a, _ := audit.ActorFrom(r.Context())
	return a.RequestID
}
