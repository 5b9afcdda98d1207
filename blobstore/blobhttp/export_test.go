package blobhttp

// This file exports internals for package blobhttp_test.

import (
	"context"
	"net/http"
)

// Kind is a row of the table of problems.
type Kind struct {
	Code    string
	Status  int
	Title   string
	Detail  string
	General bool
	Errs    []error
}

// Kinds returns the table of problems.
func Kinds() (out []Kind) {
	for _, k := range problemKinds {
		out = append(out, Kind{k.code, k.status, k.phrase(), k.detail, k.general, k.errs})
	}
	return out
}

// Heard passes the errors of h to onError. Unlike Middleware, it sets no actor.
func Heard(onError func(*http.Request, error), h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := MiddlewareOptions{OnError: onError}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), settingsKey{}, o.settings(r.Context(), new(mistakeLog)))))
	})
}

var (
	Secure   = secure
	FileName = fileName
)
