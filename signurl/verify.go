package signurl

// Checking a request. Nothing about the link is believed, nor told, before its MAC was found right.

import (
	"crypto/hmac"
	"net/http"
	"strings"
)

// Verify returns what the request's link allows, if the request is within it. It reads the method, the URL's path and
// query and the headers, not the body: wrap that with [Link.Body].
//
// The checks, in order: the signature (ErrSignature), the expiry (ErrExpired), the method (ErrMethod), and what the
// headers show of a PUT's constraints: its Content-Type, and its Content-Length if there is one (ErrConstraint). With
// ErrSignature the Link is zero. With the other errors it is the authentic link that was refused, so that the refusal
// can be recorded under its grant. CreateOnly, UserID, IP and Uses are left to the caller.
//
// Scheme, host and port do not matter, for a proxy changes them. The path may have the whole base path in front of the
// key, or what is left of it after handlers such as http.StripPrefix or a proxy removed some or all of its leading
// segments.
func (s *Signer) Verify(r *http.Request) (Link, error) {
	l, err := s.authenticate(r)
	if err != nil {
		return Link{}, err
	}
	if !s.now().Before(l.Expires.Add(s.leeway)) {
		return l, ErrExpired
	}
	if !l.allows(r.Method) {
		return l, ErrMethod
	}
	if l.Method == http.MethodPut {
		return l, l.checkHeaders(r)
	}
	return l, nil
}

func (s *Signer) authenticate(r *http.Request) (Link, error) {
	if r == nil || r.URL == nil {
		return Link{}, malformed("there is no request")
	}
	escaped := r.URL.EscapedPath()
	if len(escaped) > maxPath {
		return Link{}, malformed("the path is too long")
	}
	var f fields
	sigText, err := f.parseQuery(r.URL.RawQuery)
	if err != nil {
		return Link{}, err
	}
	f[fAudience] = s.audience
	key, ok := s.keys[f[fKeyID]]
	if !ok {
		return Link{}, malformed("no key has its ID")
	}
	sig, ok := parseSignature(sigText)
	if !ok {
		return Link{}, malformed(signatureParam + " is not a signature")
	}
	path, reason := unescapePath(escaped)
	if reason != "" {
		return Link{}, malformed(reason)
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
		l, err := f.link()
		if err != nil {
			return Link{}, malformed(err.Error())
		}
		return l, nil
	}
	return Link{}, malformed(reason)
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

func (l Link) checkHeaders(r *http.Request) error {
	if l.ContentType != "" {
		if got := r.Header.Values("Content-Type"); len(got) != 1 || !sameMediaType(got[0], l.ContentType) {
			return broken("the Content-Type must be %s", l.ContentType)
		}
	}
	n := r.ContentLength
	if n < 0 || n == 0 && r.Body != nil && r.Body != http.NoBody {
		return nil // not known: Body counts
	}
	if l.ContentLength != nil && n != *l.ContentLength {
		return broken("the body has %d bytes instead of %d", n, *l.ContentLength)
	}
	if l.MaxLength > 0 && n > l.MaxLength {
		return broken("the body has %d bytes, more than %d", n, l.MaxLength)
	}
	return nil
}

// allows reports whether the link is good for a request's method, of which none
// means GET. HEAD is GET without the body.
func (l Link) allows(method string) bool {
	if l.Method == http.MethodGet && (method == "" || method == http.MethodHead) {
		return true
	}
	return method == l.Method
}
