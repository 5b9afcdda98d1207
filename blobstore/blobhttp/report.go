package blobhttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
)

// settings are the options of Middleware for the handlers inside it.
type settings struct {
	challenge string
	onError   func(*http.Request, error)
	mistakes  *mistakeLog
}

// settingsKey is the context key of the settings.
type settingsKey struct{}

// bare are the settings of a handler without Middleware.
var bare = &settings{challenge: defaultChallenge, mistakes: new(mistakeLog)}

func settingsOf(ctx context.Context) *settings {
	if s, ok := ctx.Value(settingsKey{}).(*settings); ok {
		return s
	}
	return bare
}

// challenge returns the WWW-Authenticate header. A response with status 401
// requires it.
func challenge(r *http.Request) string { return settingsOf(r.Context()).challenge }

// report passes an error to the application. Without OnError, it logs the error
// if the program or the storage is at fault. The log line contains no URL,
// header or body, because these may contain secrets.
func report(r *http.Request, err error) {
	ctx := r.Context()
	s := settingsOf(ctx)
	err = explain(ctx, err)
	if s.onError != nil {
		s.onError(r, err)
		return
	}
	if m := (*misconfiguredError)(nil); errors.As(err, &m) {
		s.mistakes.log(r, m)
		return
	}
	if ctx.Err() != nil || ProblemOf(err).Status < 500 {
		return
	}
	slog.ErrorContext(ctx, "blobhttp: request failed", "pattern", r.Pattern, "request_id", requestID(r), "error", err)
}
