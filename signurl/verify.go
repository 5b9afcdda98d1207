package signurl

// This file implements the verification of requests. Nothing of a link is used or reported before its MAC was checked.

import (
	"crypto/hmac"
	"net/http"
	"strings"
)

// Verify returns the grant of the request's link, if the link allows the request. It reads the method, the URL's path and
// query and the headers, but not the body: wrap that with [Grant.Body].
//
// The checks, in order: the signature (ErrSignature), the expiry (ErrExpired), the method (ErrMethod), and of a PUT the
// Content-Type, and the Content-Length if there is one (ErrConstraint). With ErrSignature the Grant is zero. With the
// other errors it is the authentic grant of the link that was refused, so that the refusal can be recorded. CreateOnly,
// UserID, IP and MaxUses are left to the caller.
//
// Scheme, host and port do not matter, since a proxy changes them. The path may have the whole base path in front of the
// key, or the rest of it after handlers such as http.StripPrefix or a proxy removed some or all of its leading segments.
//
// A Grant is plain data: a program can build one that no link has. A function must not take a Grant as proof that a
// request was verified.
func (s *Signer) Verify(r *http.Request) (Grant, error) {
	l, err := s.authenticate(r)
	if err != nil {
		return Grant{}, err
	}
	return l, s.accept(l, r)
}

// accept reports why the request is not within its authentic link.
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

// Expired reports whether the grant has expired, by the clock and the leeway of the Signer.
func (s *Signer) Expired(l Grant) bool { return !s.now().Before(l.Expires.Add(s.leeway)) }

// HasLink reports whether the request's query has a parameter of a link, in any
// capitals, signed or not. A handler that serves files without verifying links
// refuses such a request: otherwise it would answer expired, revoked and forged
// links that were meant for another handler.
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

// isParam reports whether name is that of a link's parameter, but for its
// capitals.
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
		return Grant{}, malformed("there is no request")
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
		return Grant{}, malformed("no key has its ID")
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
		path = "/" + path // as http.StripPrefix leaves it when the prefix ended in a slash
	}

	// Which part of the path is the key is not certain if the base path recurs in it: the MAC decides.
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
			reason = "the signature does not fit"
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

// parseQuery collects our parameters and skips those of others. It is strict where two parsers could read the same text
// differently: a parameter that occurs twice, a name that is ours but for its capitals.
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
		return nil // not known: Body counts
	}
	if l.Size > 0 && n != l.Size {
		return broken("the body has %d bytes instead of %d", n, l.Size)
	}
	if l.MaxSize > 0 && n > l.MaxSize {
		return broken("the body has %d bytes, more than %d", n, l.MaxSize)
	}
	return nil
}

// allows reports whether the link is good for a request's method, of which none
// means GET. HEAD is GET without the body.
func (l Grant) allows(method string) bool {
	if l.Method == http.MethodGet && (method == "" || method == http.MethodHead) {
		return true
	}
	return method == l.Method
}
