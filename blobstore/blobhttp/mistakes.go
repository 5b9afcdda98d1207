package blobhttp

// This file implements the report of configuration mistakes. The client cannot
// correct them, and a status below 500 would hide them from the operator.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/signurl"
)

// ErrMisconfigured reports a mistake in the program, not in the request.
// Examples are a missing [Middleware], or a signed link to a handler that does
// not verify links.
//
// MiddlewareOptions.OnError receives it for each affected request, with any
// status. If your OnError ignores errors with a status below 500, make an
// exception for ErrMisconfigured. If OnError is nil, [WriteError] logs the
// error with slog.Default, at most once a minute per route and mistake.
var ErrMisconfigured = errors.New("configuration error")

// The mistakes and their corrections.
const (
	mistakeNoActor   = "the request context has no actor: wrap the handler in blobhttp.Middleware"
	mistakeStrayLink = "a signed link reached a handler that does not verify links: mount blobhttp.Links at the path of the signer's base URL (LINK_BASE_URL), and this handler at another path"
	mistakeExpiry    = "DeliverOptions.Expiry is set, but Mode is DeliverBytes, which issues no link: set Mode to DeliverAuto, DeliverJSON or DeliverRedirect"
)

// misconfiguredError adds a mistake to the error it caused.
type misconfiguredError struct {
	mistake string
	err     error
}

func (e *misconfiguredError) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrMisconfigured, e.mistake, e.err)
}

func (e *misconfiguredError) Unwrap() []error { return []error{ErrMisconfigured, e.err} }

func mistake(text string, err error) error { return &misconfiguredError{text, err} }

// RefuseLink returns an error if the request has the parameters of a signed
// link, and nil otherwise. Its error wraps [ErrMisconfigured], and [WriteError]
// responds with status 403.
//
// Every handler of this package except [Links] calls RefuseLink. Call it in
// your own handlers as well, if they serve or accept files without verifying
// links. Otherwise a request with an expired, revoked or forged link succeeds
// there.
func RefuseLink(r *http.Request) error {
	if signurl.HasLink(r) {
		return mistake(mistakeStrayLink, errStrayLink)
	}
	return nil
}

// explain adds the mistake to the error of a handler, if the mistake is known.
func explain(ctx context.Context, err error) error {
	if errors.Is(err, ErrMisconfigured) || !errors.Is(err, audit.ErrNoActor) {
		return err
	}
	if a, ok := audit.ActorFrom(ctx); ok && !a.IsZero() {
		return err
	}
	return mistake(mistakeNoActor, err)
}

// mistakeEvery is the minimum time between two log lines about a mistake.
const mistakeEvery = time.Minute

// mistakeLog logs each mistake at most once per mistakeEvery and route. Its
// size is bounded, because the program defines the patterns of its routes.
type mistakeLog struct {
	mu     sync.Mutex
	logged map[[2]string]time.Time // by mistake and pattern
}

func (l *mistakeLog) log(r *http.Request, e *misconfiguredError) {
	if l.due([2]string{e.mistake, r.Pattern}, time.Now()) {
		slog.ErrorContext(r.Context(), "blobhttp: handler misconfigured", "pattern", r.Pattern, "request_id", requestID(r), "error", e)
	}
}

func (l *mistakeLog) due(key [2]string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.logged[key]; ok && now.Sub(last) < mistakeEvery {
		return false
	}
	if l.logged == nil {
		l.logged = make(map[[2]string]time.Time)
	}
	l.logged[key] = now
	return true
}
