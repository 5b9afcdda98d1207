// Package blobhttp provides the HTTP middleware and handlers of a
// blobstore.Store:
//
//	mux.Handle("/links/", blobhttp.Links(store, nil))
//	handler := blobhttp.Middleware(&blobhttp.MiddlewareOptions{
//		Identify:       func(r *http.Request) (user, tenant string, err error) { … },
//		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
//	})(mux)
//
// [Middleware] adds the sender of each request to its context, for the trail.
//
// An [Intake] is a set of rules for incoming files. [Intake.Form] stores the
// files of a form. [Intake.Direct] handles uploads from a browser straight to
// the backend. Package tus handles resumable uploads.
//
// [Deliver] responds with a file or with a link to it. The application calls it
// after checking the user's access. [Links] serves the signed links of package
// signurl, on every backend.
//
// # Errors
//
// [WriteError] responds to an error with a problem document. The document
// reveals the kind of the error, but not its cause. The cause goes to
// MiddlewareOptions.OnError or to the log. All handlers of this package use
// WriteError, and the application's handlers should use it too. [ProblemOf]
// returns the same problem for an HTML error page.
//
// # Untrusted content
//
// The response to a download prevents the browser from running the content in
// the application's origin:
//
//   - The browser does not guess the type (nosniff).
//   - The browser saves the file, unless its type is on a list of harmless
//     types.
//   - Displayed content is in a sandbox without scripts.
//   - Scripts and style sheets are sent as plain text.
//
// Responses are not cached, and the Referer header does not reveal links.
//
// # Slow clients
//
// A handler cannot limit the time a client takes. Always set ReadHeaderTimeout
// and IdleTimeout of http.Server. ReadTimeout and WriteTimeout limit whole
// requests, so allow enough time for the largest upload and download over the
// slowest expected connection.
package blobhttp
