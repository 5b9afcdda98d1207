package blobhttp

// This file implements the report of mistakes in the program that mounts the handlers. The client can't correct them,
// and without a report a status below 500 would hide them from the operator.

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

// ErrMisconfigured reports a mistake of the program that mounts a handler, such as
// a missing [Middleware], or links that lead to a handler that does not verify
// them. MiddlewareOptions.OnError receives it for each affected request, whatever
// the status of the response; a hook that ignores errors with a status below 500
// should make an exception. Without OnError [WriteError] logs it with slog.Default,
// at most once a minute for each route and mistake.
var ErrMisconfigured = errors.New("the program is set up wrongly")

// The mistakes, with what would be right.
const (
	mistakeNoActor   = "the request's context has no actor: wrap the handler in blobhttp.Middleware"
	mistakeStrayLink = "a signed link led to a handler that does not verify links: mount blobhttp.Links at the path of the signer's base URL (LINK_BASE_URL), and this handler at another path"
	mistakeExpiry    = "DeliverOptions.Expiry is set, but Mode is DeliverBytes, which issues no link: set Mode to DeliverAuto, DeliverJSON or DeliverRedirect"
)

// misconfiguredError is an error that is due to a mistake.
type misconfiguredError struct {
	mistake string
	err     error
}

func (e *misconfiguredError) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrMisconfigured, e.mistake, e.err)
}

func (e *misconfiguredError) Unwrap() []error { return []error{ErrMisconfigured, e.err} }

func mistake(text string, err error) error { return &misconfiguredError{text, err} }

// RefuseLink returns an error if the request carries parameters of a signed link,
// and nil otherwise. Every handler of this package except [Links] calls it. A
// handler of the application that serves or takes files without verifying links
// should call it too. Otherwise, if links lead to that handler, it answers them
// although they are expired, revoked or forged. [WriteError] answers the error
// with 403; it wraps [ErrMisconfigured].
func RefuseLink(r *http.Request) error {
	if signurl.HasLink(r) {
		return mistake(mistakeStrayLink, errStrayLink)
	}
	return nil
}

// explain names the mistake behind an error of a handler, if it is a known one.
func explain(ctx context.Context, err error) error {
	if errors.Is(err, ErrMisconfigured) || !errors.Is(err, audit.ErrNoActor) {
		return err
	}
	if a, ok := audit.ActorFrom(ctx); ok && !a.IsZero() {
		return err
	}
	return mistake(mistakeNoActor, err)
}

// mistakeEvery is the time between two log lines about the same mistake.
const mistakeEvery = time.Minute

// mistakeLog logs mistakes, each at most once in mistakeEvery for each route. Its
// size is bounded by the routes of the program: the pattern of a request is the
// program's text, not the client's.
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
