// Package blobhttp is what a host application mounts between browsers and a
// blobstore.Store:
//
//	mux.Handle("/links/", blobhttp.Links(store, signer, nil))
//	handler := blobhttp.Middleware(&blobhttp.MiddlewareOptions{
//		Identify:       func(r *http.Request) (user, tenant string, err error) { … },
//		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
//	})(mux)
//
// [Middleware] tells the trail who sends the request. [Upload] stores the files
// of a form. [Deliver] answers with a file, or with a link to it, for a handler
// of the host that has found out who may have it. [Links] serves the signed
// links of package signurl, on any backend. [DirectUpload] begins and completes
// uploads that go straight from a browser to the backend. [WriteError] answers any
// error of the store as a problem document that gives nothing away.
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
