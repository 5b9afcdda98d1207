package signurl

// The Signer: its settings, and making links.

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
	defaultMaxExpiry = 7 * 24 * time.Hour // what the clouds allow
	maxBasePath      = maxPath - 3*maxKey // bytes, escaped
	maxAudience      = 1024               // bytes
)

// Options are settings of a Signer. Nil and zero values are the defaults.
type Options struct {
	// MaxExpiry is the longest time until Grant.Expires that Sign accepts. Default: 7 days.
	MaxExpiry time.Duration
	// Leeway is how long after Grant.Expires Verify still accepts a link, for clocks that differ. Default: 0. It should be
	// minutes, because [Grants] may remove a grant an hour after it expires.
	Leeway time.Duration
	// Audience is signed into every link without being part of it: a Signer refuses the links of one with another
	// audience, even if they share keys. Default: the path of the base URL, so that two handlers under different
	// paths do not take each other's links. Set it if they should, or if two stores share keys and a path on
	// different hosts. At most 1,024 bytes.
	Audience string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Signer signs and verifies links below one base URL. It is safe for concurrent use, and never changes.
type Signer struct {
	base     string   // the base URL, ending in a slash
	mounts   []string // what a request's path may begin with: the decoded base path, and its tails
	audience string

	first *macKey            // signs
	keys  map[string]*macKey // verify, by ID

	maxExpiry, leeway time.Duration
	now               func() time.Time
}

// New makes a Signer for links such as https://files.example.com/files/KEY?..., with "https://files.example.com/files/"
// as base URL. A slash is added to the base URL if it does not end in one. The first key signs, all of them verify.
//
// The base URL must be absolute, http or https, without user, query and fragment, and without empty and dot segments in
// its path. Its errors do not quote it.
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
		return nil, fmt.Errorf("signurl: Audience must be valid UTF-8 of at most %d bytes", maxAudience)
	}
	for _, k := range keys {
		s.keys[k.ID] = newMACKey(k)
	}
	s.first = s.keys[keys[0].ID]
	switch {
	case s.maxExpiry < 0 || s.leeway < 0:
		return nil, errors.New("signurl: MaxExpiry and Leeway must not be negative")
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
		return errors.New("it cannot be parsed") // url.Parse's own error quotes what may be a password
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Opaque != "":
		return errors.New("want an absolute one, such as https://files.example.com/files/")
	case u.User != nil:
		return errors.New("it must not have a user or password: they would be part of every link")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(baseURL, "#"):
		return errors.New("it must not have a query or a fragment")
	}
	path, reason := unescapePath(u.EscapedPath())
	if reason != "" {
		return errors.New(reason)
	}
	path = strings.TrimSuffix(path, "/") + "/"
	if path != "/" && keyProblem(path[1:len(path)-1]) != "" {
		return errors.New("its path must not have empty or dot segments, backslashes or control characters")
	}
	escaped := appendEscaped(nil, path, true)
	if len(escaped) > maxBasePath {
		return fmt.Errorf("its path is longer than %d bytes", maxBasePath)
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

// Sign returns the link's URL. The URL is a secret: whoever has it may use it.
//
// It refuses, with an error that says what would be right, a link that is expired or lasts too long, whose key cannot be
// in a URL, or whose constraints do not fit its method.
func (s *Signer) Sign(l Grant) (string, error) {
	if err := l.normalize(); err != nil {
		return "", fmt.Errorf("signurl: cannot sign the link: %w", err)
	}
	if l.Expires.IsZero() {
		return "", errors.New("signurl: cannot sign the link: Expires is not set")
	}
	now := s.now()
	l.Expires = time.Unix(l.Expires.Unix(), 0)
	switch {
	case !l.Expires.After(now):
		return "", errors.New("signurl: cannot sign the link: Expires, cut to seconds, is not in the future")
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

// String tells the base URL and the ID of the key that signs.
func (s *Signer) String() string {
	return "signurl.Signer(" + s.base + ", " + s.first.id + ":" + redacted + ")"
}

// Format prints what String returns, for every verb.
func (s *Signer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }
