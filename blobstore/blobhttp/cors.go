package blobhttp

// This file implements CORS of the Fetch standard, for links in pages of other
// origins. The link authorizes the request, so cookies are never requested.

import (
	"net/http"
	"slices"
)

// corsExposed lists the response headers that scripts of the page can read.
var corsExposed = []string{
	"Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Last-Modified, Repr-Digest, X-Request-Id",
}

const (
	corsMethods = "GET, HEAD, PUT, DELETE"
	corsHeaders = "Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, X-Request-Id"
	corsMaxAge  = "600" // seconds
)

// allowOrigin sets the CORS headers if the origin of the request is allowed. It
// responds to a preflight request and reports whether it did.
func allowOrigin(w http.ResponseWriter, r *http.Request, allowed []string) (responded bool) {
	if len(allowed) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	switch {
	case origin == "":
		return false
	case slices.Contains(allowed, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(allowed, origin):
		h.Set("Access-Control-Allow-Origin", origin)
	case preflight: // without CORS headers, the browser blocks the request
		w.WriteHeader(http.StatusNoContent)
		return true
	default:
		return false
	}
	if !preflight {
		h["Access-Control-Expose-Headers"] = corsExposed
		return false
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}
