package signurl

// This file implements the verification of requests. Nothing of a link is used
// or reported before its MAC is verified.

import (
	"crypto/hmac"
	"net/http"
	"strings"
)

// Verify returns the grant of the request's link if the link permits the
// request. It reads the method, the path, the query and the headers of the
// request, but not the body. Wrap the body with [Grant.Body].
//
// Verify checks in this order:
//
//   - the signature ([ErrSignature])
//   - the expiry ([ErrExpired])
//   - the method ([ErrMethod])
//   - for a PUT, the Content-Type, and the Content-Length if present
//     ([ErrConstraint])
//
// With ErrSignature, the returned Grant is zero. With other errors, it is the
// authentic grant of the refused link, so that the caller can record the
// refusal. The caller must enforce CreateOnly, UserID, IP and MaxUses.
//
// Scheme, host and port are ignored, because proxies change them. The path may
// begin with the whole base path. Some or all of its leading segments may also
// be missing, because handlers such as http.StripPrefix or a proxy removed
// them.
//
// A Grant is plain data, and a program can create one without a link. A
// function must not accept a Grant as proof of verification.
func (s *Signer) Verify(r *http.Request) (Grant, error) {
	l, err := s.authenticate(r)
	if err != nil {
		return Grant{}, err
	}
	return l, s.accept(l, r)
}

// accept returns an error if the authentic link does not permit the request.
func (s *Signer) accept(l Grant, r *http.Request) error {
	switch {
	case s.Expired(l):
		return ErrExpired
	case !l.allows(r.Method):
		return &methodError{l.Method}
	case l.Method == http.MethodPut:
		return l.checkHeaders(r)
	}
	return nil
}

// Expired reports whether the grant has expired, according to the clock and the
// leeway of the Signer.
func (s *Signer) Expired(l Grant) bool { return !s.now().Before(l.Expires.Add(s.leeway)) }

// HasLink reports whether the query of the request has a parameter of a link,
// in any case, signed or not. A handler that serves files without verifying
// links should refuse such a request. Otherwise, it would serve expired,
// revoked and forged links meant for another handler.
func HasLink(r *http.Request) bool {
	if r == nil || r.URL == nil || r.URL.RawQuery == "" {
		return false
	}
	for pair := range strings.FieldsFuncSeq(r.URL.RawQuery, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(pair, "=")
		if name, ok := unescapeQuery(name); ok && isParam(name) {
			return true
		}
	}
	return false
}

// isParam reports whether name is a parameter of a link, ignoring case.
func isParam(name string) bool {
	if len(name) < len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
		return false
	}
	for _, p := range params {
		if p != "" && strings.EqualFold(name, p) {
			return true
		}
	}
	return strings.EqualFold(name, versionParam) || strings.EqualFold(name, signatureParam)
}

func (s *Signer) authenticate(r *http.Request) (Grant, error) {
	if r == nil || r.URL == nil {
		return Grant{}, malformed("the request is nil")
	}
	escaped := r.URL.EscapedPath()
	if len(escaped) > maxPath {
		return Grant{}, malformed("the path is too long")
	}
	var f fields
	sigText, err := f.parseQuery(r.URL.RawQuery)
	if err != nil {
		return Grant{}, err
	}
	f[fAudience] = s.audience
	key, ok := s.keys[f[fKeyID]]
	if !ok {
		return Grant{}, malformed("unknown key ID")
	}
	sig, ok := parseSignature(sigText)
	if !ok {
		return Grant{}, malformed(signatureParam + " is not a signature")
	}
	path, reason := unescapePath(escaped)
	if reason != "" {
		return Grant{}, malformed(reason)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // http.StripPrefix leaves it like this if the prefix ends in a slash
	}

	// If the base path recurs in the path, the start of the key is ambiguous.
	// The MAC decides.
	st := key.get()
	defer key.put(st)
	reason = "the path is not below the base path"
	for _, mount := range s.mounts {
		k, ok := strings.CutPrefix(path, mount)
		if !ok {
			continue
		}
		if p := keyProblem(k); p != "" {
			reason = p
			continue
		}
		f[fKey] = k
		st.compute(&f)
		if !hmac.Equal(st.sum[:], sig[:]) {
			reason = "the signature does not match"
			continue
		}
		l, err := f.grant()
		if err != nil {
			return Grant{}, malformed(err.Error())
		}
		return l, nil
	}
	return Grant{}, malformed(reason)
}

// parseQuery collects the parameters of a link and skips others. It is strict
// if parsers could interpret the text differently: it refuses duplicate
// parameters and names that differ only in case.
func (f *fields) parseQuery(query string) (sig string, err error) {
	if len(query) > maxQuery {
		return "", malformed("the query is too long")
	}
	var v string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, ok := unescapeQuery(name)
		if !ok {
			return "", malformed("the query is not percent-encoded correctly")
		}
		if len(name) < len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
			continue
		}
		var field *string
		switch name {
		case versionParam:
			field = &v
		case signatureParam:
			field = &sig
		default:
			for i := fKeyID; i < numFields; i++ {
				if params[i] == name {
					field = &f[i]
					break
				}
			}
		}
		if field == nil {
			return "", malformed("the query has an unknown parameter that begins with " + prefix)
		}
		if *field != "" {
			return "", malformed(name + " occurs twice")
		}
		if *field, ok = unescapeQuery(value); !ok {
			return "", malformed(name + " is not percent-encoded correctly")
		}
		if *field == "" {
			return "", malformed(name + " is empty")
		}
	}
	switch {
	case v == "" && sig == "":
		return "", malformed("the request is not signed")
	case v != "1":
		return "", malformed(versionParam + " is not 1")
	}
	return sig, nil
}

func (l Grant) checkHeaders(r *http.Request) error {
	if l.ContentType != "" {
		if got := r.Header.Values("Content-Type"); len(got) != 1 || !sameMediaType(got[0], l.ContentType) {
			return broken("the Content-Type must be %s", l.ContentType)
		}
	}
	n := r.ContentLength
	if n < 0 || n == 0 && r.Body != nil && r.Body != http.NoBody {
		return nil // unknown: Body counts the bytes
	}
	if l.Size > 0 && n != l.Size {
		return broken("the body has %d bytes, want %d", n, l.Size)
	}
	if l.MaxSize > 0 && n > l.MaxSize {
		return broken("the body has %d bytes, want at most %d", n, l.MaxSize)
	}
	return nil
}

// allows reports whether the link permits the method of a request. An empty
// method means GET. HEAD is GET without the body.
func (l Grant) allows(method string) bool {
	if l.Method == http.MethodGet && (method == "" || method == http.MethodHead) {
		return true
	}
	return method == l.Method
}
