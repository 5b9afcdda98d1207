package signurl

// This file implements the Signer, its settings, and signing.

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	defaultMaxExpiry = 7 * 24 * time.Hour // the limit of S3 and Google Cloud Storage
	maxBasePath      = maxPath - 3*maxKey // in bytes, escaped
	maxAudience      = 1024               // in bytes
)

// Options configure a Signer. Nil and zero values mean the defaults.
type Options struct {
	// MaxExpiry is the maximum time from now to Grant.Expires that Sign
	// accepts. The default is 7 days.
	MaxExpiry time.Duration
	// Leeway is the time after Grant.Expires during which Verify still accepts
	// a link, to allow for clock differences. The default is 0. Use at most
	// minutes, because [Grants] may remove a grant an hour after it expires.
	Leeway time.Duration
	// Audience is signed into every link, but is not part of it. A Signer
	// refuses links with another audience, even if they were signed with the
	// same key. The default is the path of the base URL, so that handlers under
	// different paths do not accept each other's links. Set Audience if they
	// should, or if two stores share keys and a path on different hosts. It has
	// at most 1,024 bytes.
	Audience string
	// Now returns the current time. The default is time.Now.
	Now func() time.Time
}

// Signer signs and verifies links below one base URL. It is immutable and safe
// for concurrent use.
type Signer struct {
	base     string   // the base URL, ending in a slash
	mounts   []string // accepted prefixes of a request's path: the decoded base path and its suffixes
	audience string

	first *macKey            // the key that signs
	keys  map[string]*macKey // the keys that verify, by ID

	maxExpiry, leeway time.Duration
	now               func() time.Time
}

// New returns a Signer for links such as
// https://files.example.com/files/KEY?... with the base URL
// "https://files.example.com/files/". If the base URL does not end in a slash,
// New adds one. The first key signs, and all keys verify.
//
// The base URL must be absolute, with scheme http or https. It must not have a
// user, a query, a fragment, or empty or dot segments in its path. Errors do
// not quote it.
func New(baseURL string, keys []Key, opts *Options) (*Signer, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := checkKeys(keys); err != nil {
		return nil, err
	}
	s := &Signer{audience: o.Audience, keys: make(map[string]*macKey, len(keys)), maxExpiry: o.MaxExpiry, leeway: o.Leeway, now: o.Now}
	if err := s.setBase(baseURL); err != nil {
		return nil, fmt.Errorf("signurl: base URL: %w", err)
	}
	if s.audience == "" {
		s.audience = s.mounts[0]
	}
	if len(s.audience) > maxAudience || !utf8.ValidString(s.audience) {
		return nil, fmt.Errorf("signurl: invalid Options.Audience: want valid UTF-8 of at most %d bytes", maxAudience)
	}
	for _, k := range keys {
		s.keys[k.ID] = newMACKey(k)
	}
	s.first = s.keys[keys[0].ID]
	switch {
	case s.maxExpiry < 0 || s.leeway < 0:
		return nil, errors.New("signurl: Options.MaxExpiry or Leeway is negative: want a positive duration, or 0 for the default")
	case s.maxExpiry == 0:
		s.maxExpiry = defaultMaxExpiry
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

func (s *Signer) setBase(baseURL string) error {
	u, err := url.Parse(baseURL)
	if err != nil {
		return errors.New("not a valid URL") // the error of url.Parse may quote a password
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Opaque != "":
		return errors.New("not an absolute http or https URL: want one such as https://files.example.com/files/")
	case u.User != nil:
		return errors.New("the URL has a user or password, which would be part of every link")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(baseURL, "#"):
		return errors.New("the URL has a query or a fragment")
	}
	path, reason := unescapePath(u.EscapedPath())
	if reason != "" {
		return errors.New(reason)
	}
	path = strings.TrimSuffix(path, "/") + "/"
	if path != "/" && keyProblem(path[1:len(path)-1]) != "" {
		return errors.New("the path has empty or dot segments, backslashes or control characters")
	}
	escaped := appendEscaped(nil, path, true)
	if len(escaped) > maxBasePath {
		return fmt.Errorf("the path is longer than %d bytes", maxBasePath)
	}
	s.base = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String() + string(escaped)
	for {
		s.mounts = append(s.mounts, path)
		i := strings.IndexByte(path[1:], '/')
		if i < 0 {
			break
		}
		path = path[1+i:]
	}
	return nil
}

// Sign returns the URL of the link. The URL is a secret: anyone with it can use
// the link.
//
// Sign refuses a link that has expired or lasts too long, whose key cannot be
// in a URL, or whose constraints do not apply to its method. The error states
// the correct value.
func (s *Signer) Sign(l Grant) (string, error) {
	if err := l.normalize(); err != nil {
		return "", fmt.Errorf("signurl: cannot sign the link: %w", err)
	}
	if l.Expires.IsZero() {
		return "", errors.New("signurl: cannot sign the link: Expires is not set: want a time in the future")
	}
	now := s.now()
	l.Expires = time.Unix(l.Expires.Unix(), 0)
	switch {
	case !l.Expires.After(now):
		return "", errors.New("signurl: cannot sign the link: Expires, truncated to seconds, is not in the future")
	case l.Expires.Sub(now) > s.maxExpiry:
		return "", fmt.Errorf("signurl: cannot sign the link: Expires is more than %s ahead", s.maxExpiry)
	}
	f := fields{fAudience: s.audience, fKeyID: s.first.id}
	f.set(&l)

	st := s.first.get()
	defer s.first.put(st)
	st.compute(&f)
	b := append(st.buf[:0], s.base...)
	b = appendEscaped(b, l.Key, true)
	b = append(b, "?"+versionParam+"=1"...)
	for i := fKeyID; i < numFields; i++ {
		if f[i] != "" {
			b = append(b, '&')
			b = append(b, params[i]...)
			b = append(b, '=')
			b = appendEscaped(b, f[i], false)
		}
	}
	b = append(b, "&"+signatureParam+"="...)
	b = st.appendSignature(b)
	st.buf = b
	return string(b), nil
}

// String returns the base URL and the ID of the signing key.
func (s *Signer) String() string {
	return "signurl.Signer(" + s.base + ", " + s.first.id + ":" + redacted + ")"
}

// Format prints the result of String, for every verb.
func (s *Signer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }
