// Package blobhttp is what a host application mounts between browsers and a
// blobstore.Store:
//
//	mux.Handle("/links/", blobhttp.Links(store, nil))
//	handler := blobhttp.Middleware(&blobhttp.MiddlewareOptions{
//		Identify:       func(r *http.Request) (user, tenant string, err error) { … },
//		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
//	})(mux)
//
// [Middleware] puts the sender of a request into its context, for the trail. An
// [Intake] receives files under one set of rules: [Intake.Form] takes the files of
// a form, [Intake.Direct] begins and completes uploads that go straight from a
// browser to the backend, and package tus takes resumable uploads. [Deliver]
// responds with a file, or with a link to it, for a handler of the application that
// has checked who may have it. [Links] serves the signed links of package signurl,
// on any backend.
//
// # Errors
//
// [WriteError] responds to any error of the store with a problem document that
// reveals the kind of the error only. The cause goes to MiddlewareOptions.OnError
// or into the log. The handlers of this package respond to their errors with it;
// handlers of the application should do the same. [ProblemOf] returns the problem
// for a page of the application's own.
//
// # Hostile content
//
// What users upload is answered so that a browser can't be made to run it in the
// host's origin: its type is never guessed (nosniff), it is saved rather than
// shown unless its type is on a list of harmless ones, what is shown is shown in
// a sandbox without scripts, and a script or style sheet is answered as plain
// text. Answers are not cached, and links don't leak by the Referer header.
//
// # Slow clients
//
// A handler can't bound the time that a client takes: set ReadHeaderTimeout and
// IdleTimeout of http.Server always. ReadTimeout and WriteTimeout bound whole
// requests, so that they must leave time for the largest upload and download
// over the slowest line that is to be served.
package blobhttp
