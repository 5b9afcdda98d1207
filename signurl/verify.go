package signurl

// Checking a request. Nothing about the link is believed, nor told, before its MAC was found right.

import (
	"bytes"
	"crypto/hmac"
	"net/http"
	"strings"
)

// Verify returns what the request's link allows, if the request is within it. It reads the method, the URL's path and
// query and the headers, not the body: wrap that with [Grant.Body].
//
// The checks, in order: the signature (ErrSignature), the expiry (ErrExpired), the method (ErrMethod), and what the
// headers show of a PUT's constraints: its Content-Type, and its Content-Length if there is one (ErrConstraint). With
// ErrSignature the Grant is zero. With the other errors it is the authentic link that was refused, so that the refusal
// can be recorded under its grant. CreateOnly, UserID, IP and MaxUses are left to the caller.
//
// Scheme, host and port do not matter, for a proxy changes them. The path may have the whole base path in front of the
// key, or what is left of it after handlers such as http.StripPrefix or a proxy removed some or all of its leading
// segments.
//
// The Grant remembers that this Signer verified it; see [Signer.Verified].
func (s *Signer) Verify(r *http.Request) (Grant, error) {
	l, err := s.authenticate(r)
	if err != nil {
		return Grant{}, err
	}
	err = s.accept(l, r)
	own := l
	own.SHA256 = bytes.Clone(l.SHA256)
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	l.verified = &verified{by: s, link: own, method: method, err: err}
	return l, err
}

// accept reports why the request is not within its authentic link.
func (s *Signer) accept(l Grant, r *http.Request) error {
	switch {
	case s.expired(l):
		return ErrExpired
	case !l.allows(r.Method):
		return ErrMethod
	case l.Method == http.MethodPut:
		return l.checkHeaders(r)
	}
	return nil
}

func (s *Signer) expired(l Grant) bool { return !s.now().Before(l.Expires.Add(s.leeway)) }

// verified is the result of a verification. It is shared by the copies of a
// Grant and never changes.
type verified struct {
	by     *Signer
	link   Grant  // a private copy, without pointers into the caller's
	method string // of the request
	err    error  // the reason for which the request was refused
}

// Verified reports whether l is a link that Verify of this Signer returned, and
// the method of the request that carried it. It lets a function that takes a
// Grant insist on a verified one: a Grant that the program filled in itself, that
// another Signer verified, or in which an exported field was changed since, is
// refused with an error that wraps ErrSignature. If Verify refused the request,
// Verified returns the same error again. After the expiry it returns ErrExpired.
func (s *Signer) Verified(l Grant) (method string, err error) {
	v := l.verified
	switch {
	case v == nil || v.by != s:
		return "", malformed("the link was not verified by this Signer")
	case !l.equal(&v.link):
		return "", malformed("the link was changed after it was verified")
	case v.err == nil && s.expired(v.link):
		return v.method, ErrExpired
	}
	return v.method, v.err
}

// equal compares the exported fields.
func (l *Grant) equal(m *Grant) bool {
	return l.Method == m.Method && l.Key == m.Key && l.Expires.Equal(m.Expires) && l.ID == m.ID &&
		l.ContentType == m.ContentType && l.Size == m.Size && l.MaxSize == m.MaxSize &&
		(l.SHA256 == nil) == (m.SHA256 == nil) && bytes.Equal(l.SHA256, m.SHA256) && l.CreateOnly == m.CreateOnly &&
		l.Filename == m.Filename && l.Inline == m.Inline && l.ResponseType == m.ResponseType &&
		l.UserID == m.UserID && l.IP == m.IP && l.MaxUses == m.MaxUses
}

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
