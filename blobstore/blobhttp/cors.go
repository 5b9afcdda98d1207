package blobhttp

// Links that pages of other origins may use, by the CORS protocol of the Fetch standard. A link is its own permission
// and needs no cookie, so that none is asked for.

import (
	"net/http"
	"slices"
)

// corsExposed are the headers of an answer that a page may read.
var corsExposed = []string{
	"Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Last-Modified, Repr-Digest, X-Request-Id",
}

const (
	corsMethods = "GET, HEAD, PUT, DELETE"
	corsHeaders = "Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, X-Request-Id"
	corsMaxAge  = "600" // seconds
)

// allowOrigin sets the headers by which a browser lets a page have the answer, if
// its origin is among those that are allowed. It answers a preflight request, and
// reports whether it did.
func allowOrigin(w http.ResponseWriter, r *http.Request, allowed []string) (answered bool) {
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
	case preflight: // without these headers the browser refuses for us
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
