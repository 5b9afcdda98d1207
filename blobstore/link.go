package blobstore

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/secret"
	"github.com/blobtrail/blobtrail/signurl"
)

// LinkOptions are the options of [Store.Link]. Nil and the zero value mean a
// link to download for the store's default time. An option that does not apply to
// links for Method is [ErrUnsupported].
type LinkOptions struct {
	// Method is GET (the default), HEAD, PUT or DELETE. Links for PUT and DELETE lead
	// to the handler of the links (blobhttp.Links) on every backend and need
	// [Options.Signer]. Clients upload straight to a service by [Store.BeginUpload].
	Method string
	// Expiry is the time until the link expires. 0: Options.LinkExpiry.
	Expiry time.Duration
	// Resource is the host's own thing that the file belongs to, for the trail.
	Resource audit.Resource

	// The response to GET and HEAD. Not for other methods.

	Filename     string // the name to save the file under; empty: the backend's choice
	ResponseType string // the content type to answer with; empty: the object's
	// Inline asks the browser to show the file instead of saving it. The handler of
	// the links does so where that is safe. A service does so for every type, without
	// the handler's security headers: ask for it only if the type can't hold scripts.
	Inline bool

	// Revocable asks for a link that [Store.Revoke] can revoke. It leads to the
	// handler of the links on every backend, because a link that a service signed
	// can't be revoked. MaxUses, UserID and IP imply it. It needs [Options.Signer].
	Revocable bool
	// MaxUses is the maximum number of uses. 0 means unlimited. HEAD requests are
	// not counted, so MaxUses does not apply to a HEAD link.
	// It needs [Options.Grants].
	MaxUses int
	// UserID is the only user who may use the link, compared with the actor's
	// UserID, whatever the tenant. Empty: anyone.
	UserID string
	// IP is the only address that may use the link. Empty: any.
	IP string

	// Constraints of a PUT link. Not for other methods.

	ContentType string
	Size        int64  // exact, in bytes; 0: any
	MaxSize     int64  // in bytes; 0: any
	SHA256      []byte // nil: any
	Overwrite   bool   // without it the upload fails if the key is taken

	ticket bool // of BeginUpload, and may lead to the service
}

// Link is a signed URL that holds until Expires. The URL is a secret, since it
// is all that a client needs. It is therefore behind methods: no way of printing
// or encoding a Link, or a value that contains one, shows it.
type Link struct {
	Method  string
	Header  http.Header // headers that the client must send
	Expires time.Time
	GrantID string // joins its issue and its uses in the trail; Revoke accepts it for the link's key only

	url  secret.Text
	form func() map[string]string // nil: none
}

// URL returns the signed URL. Treat it as a secret.
func (l Link) URL() string { return l.url.Reveal() }

// Form returns the fields to send before the file if Method is POST, else nil.
// They contain the signature: treat them as a secret.
func (l Link) Form() map[string]string {
	if l.form == nil {
		return nil
	}
	return maps.Clone(l.form())
}

// setSigned takes over a link that a service signed.
func (l *Link) setSigned(signed *driver.SignedURL) {
	l.url, l.Method, l.Header, l.form = secret.New(signed.URL), signed.Method, signed.Header, nil
	if fields := signed.Form; fields != nil {
		l.form = func() map[string]string { return fields }
	}
}

// String describes the link without its URL.
func (l Link) String() string {
	return fmt.Sprintf("%s link %s until %s", l.Method, l.GrantID, l.Expires.UTC().Format(time.RFC3339))
}

// GoString implements [fmt.GoStringer].
func (l Link) GoString() string { return l.String() }

// LogValue implements [slog.LogValuer].
func (l Link) LogValue() slog.Value { return slog.StringValue(l.String()) }

// Link issues a signed link to key. Its entry is durable before the URL is
// returned. Link does not check whether the object exists. A backend that can't
// sign links, such as local files, needs [Options.Signer].
func (s *Store) Link(ctx context.Context, key string, opts *LinkOptions) (*Link, error) {
	var o LinkOptions
	if opts != nil {
		o = *opts
	}
	ctx, span := s.trace(ctx, audit.ActionIssueLink)
	link, err := s.link(ctx, key, &o)
	if span.end(err) != nil {
		return nil, &Error{Op: "link", Key: key, Err: err}
	}
	return link, nil
}

func (s *Store) link(ctx context.Context, key string, o *LinkOptions) (*Link, error) {
	if err := s.checkLink(o); err != nil {
		return nil, err
	}
	e := audit.Event{Action: linkAction(o.Method), Key: key, Resource: o.Resource}
	if err := s.enter(ctx, &e); err != nil {
		return nil, err
	}
	defer s.leave()
	link, issued, err := s.sign(ctx, e, o)
	if err != nil {
		issued = e
	}
	if err := s.record(ctx, issued, err); err != nil {
		return nil, err
	}
	return link, nil
}

func linkAction(method string) audit.Action {
	if method == http.MethodPut {
		return audit.ActionIssueUploadLink
	}
	return audit.ActionIssueLink
}

func (o *LinkOptions) method() string {
	if o.Method == "" {
		return http.MethodGet
	}
	return o.Method
}

// checkLink refuses what can be seen to fail before anything is done.
func (s *Store) checkLink(o *LinkOptions) error {
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete}, o.method()) {
		return fmt.Errorf("%w: method %.20q: links are for GET, HEAD, PUT and DELETE", ErrUnsupported, o.Method)
	}
	if err := o.checkMethod(); err != nil {
		return err
	}
	if err := s.checkGrant(o); err != nil {
		return err
	}
	if most := s.longestLink(o); o.Expiry < 0 || o.Expiry > most {
		return fmt.Errorf("expiry of %v: want more than 0 and at most %v", o.Expiry, most)
	}
	if !s.signsItself(o) && s.opts.Signer == nil {
		return fmt.Errorf("%w: backend %q signs no %s links, and the store has no Options.Signer", ErrUnsupported, s.Info().Backend, o.method())
	}
	return nil
}

// checkMethod returns an error that names an option which does not apply to links
// for that method.
func (o *LinkOptions) checkMethod() error {
	method := o.method()
	reads := method == http.MethodGet || method == http.MethodHead
	for _, option := range []struct {
		name         string
		set, applies bool
	}{
		{"Filename", o.Filename != "", reads},
		{"ResponseType", o.ResponseType != "", reads},
		{"Inline", o.Inline, reads},
		{"ContentType", o.ContentType != "", method == http.MethodPut},
		{"Size", o.Size != 0, method == http.MethodPut},
		{"MaxSize", o.MaxSize != 0, method == http.MethodPut},
		{"SHA256", o.SHA256 != nil, method == http.MethodPut},
		{"Overwrite", o.Overwrite, method == http.MethodPut},
		{"MaxUses", o.MaxUses != 0, method != http.MethodHead},
	} {
		if option.set && !option.applies {
			return fmt.Errorf("%w: LinkOptions.%s does not apply to a %s link", ErrUnsupported, option.name, method)
		}
	}
	return nil
}

// longestLink is how long a link of that kind may hold.
func (s *Store) longestLink(o *LinkOptions) time.Duration {
	most := s.opts.MaxLinkExpiry
	if own := s.Info().Capabilities.Links.MaxExpiry; own > 0 && own < most && s.signsItself(o) {
		most = own
	}
	return most
}

// sign makes a link and the event of its issue, both for the object of e.
func (s *Store) sign(ctx context.Context, e audit.Event, o *LinkOptions) (*Link, audit.Event, error) {
	return s.signAs(ctx, e, o, e.Key, "")
}

// signAs is sign for a link to another key than that of e, under a grant ID. An
// empty one is generated.
func (s *Store) signAs(ctx context.Context, e audit.Event, o *LinkOptions, key, grantID string) (*Link, audit.Event, error) {
	expiry := o.Expiry
	if expiry == 0 {
		expiry = min(s.opts.LinkExpiry, s.longestLink(o))
	}
	link := &Link{Method: o.method(), Expires: time.Now().Add(expiry).Truncate(time.Second), GrantID: grantID}
	if grantID == "" {
		link.GrantID = newGrantID(s.grantKind(o), key, link.Expires)
	}

	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	var err error
	if s.signsItself(o) {
		err = s.signByService(ctx, link, key, o)
	} else {
		err = s.signByHandler(link, key, o)
	}
	if err != nil {
		return nil, audit.Event{}, err
	}
	issued := audit.Event{
		Action: linkAction(o.Method), Actor: e.Actor, Resource: o.Resource, Key: e.Key, Backend: e.Backend, Bucket: e.Bucket,
		GrantID: link.GrantID, Details: audit.Details{Method: link.Method, Expires: link.Expires},
	}
	if issued.Resource == (audit.Resource{}) {
		issued.Resource = e.Resource
	}
	return link, issued, nil
}

func (s *Store) signByHandler(link *Link, key string, o *LinkOptions) error {
	u, err := s.opts.Signer.Sign(signurl.Grant{
		Method: link.Method, Key: key, Expires: link.Expires, ID: link.GrantID,
		Filename: o.Filename, Inline: o.Inline, ResponseType: o.ResponseType,
		ContentType: o.ContentType, Size: o.Size, MaxSize: o.MaxSize, SHA256: o.SHA256,
		CreateOnly: link.Method == http.MethodPut && !o.Overwrite,
		MaxUses:    o.MaxUses, UserID: o.UserID, IP: o.IP,
	})
	link.url = secret.New(u)
	if err == nil && o.ContentType != "" {
		link.Header = http.Header{"Content-Type": {o.ContentType}}
	}
	return err
}

func (s *Store) signByService(ctx context.Context, link *Link, key string, o *LinkOptions) error {
	disposition := ""
	if link.Method == http.MethodGet || link.Method == http.MethodHead {
		disposition = "attachment" // for a service that is not told shows what it can, scripts and all
		if o.Inline {
			disposition = "inline"
		}
		if o.Filename != "" {
			disposition = mime.FormatMediaType(disposition, map[string]string{"filename": o.Filename})
		}
	}
	so := &driver.SignOptions{
		Method: link.Method, Expires: link.Expires, GrantID: link.GrantID,
		ContentDisposition: disposition, ResponseType: o.ResponseType,
		ContentType: o.ContentType, MaxSize: o.MaxSize, SHA256: o.SHA256,
	}
	if o.Size > 0 {
		so.Size = &o.Size
	}
	signed, err := s.bucket.Sign(ctx, key, so)
	if err != nil {
		return err
	}
	link.setSigned(signed)
	return nil
}
