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

// LinkOptions configures [Store.Link]. Nil and the zero value select a download
// link with the default lifetime of the store. If an option does not apply to
// links for Method, Link returns [ErrUnsupported].
type LinkOptions struct {
	// Method is the HTTP method permitted by the link: GET, HEAD, PUT or
	// DELETE. The default is GET. Links for PUT and DELETE lead to the
	// program's own handler, blobhttp.Links, on every backend and require
	// [Options.Signer]. To let clients upload directly to a storage service,
	// use [Store.BeginUpload].
	Method string
	// Expiry is the link's lifetime. Zero means Options.LinkExpiry, or the
	// longest lifetime permitted by the backend if that is shorter.
	Expiry time.Duration
	// Resource identifies the application's record that the file belongs to,
	// such as an invoice. It is recorded in the trail.
	Resource audit.Resource

	// The following fields describe the response to GET and HEAD. They do not
	// apply to other methods.

	Filename     string // suggested name for saving the file; if empty, the backend chooses
	ResponseType string // Content-Type of the response; if empty, the type of the object
	// Inline asks the browser to display the file instead of saving it. The
	// handler blobhttp.Links does so only for safe types. A storage service
	// displays any type and does not send the handler's protective headers, so
	// set Inline only for types that cannot contain scripts.
	Inline bool

	// Revocable requests a link that [Store.Revoke] can revoke. Such a link
	// leads to the program's own handler on every backend, because a link
	// signed by a service cannot be revoked. MaxUses, UserID and IP imply
	// Revocable. It requires [Options.Signer].
	Revocable bool
	// MaxUses is the maximum number of uses. Zero means unlimited. A limit
	// requires [Options.Grants]. HEAD requests are not counted, so MaxUses does
	// not apply to a HEAD link.
	MaxUses int
	// UserID restricts the link to the actor with this UserID, regardless of
	// the tenant. If empty, any user can use the link.
	UserID string
	// IP restricts the link to one client address. If empty, any address can
	// use the link.
	IP string

	// The following fields are constraints on the upload through a PUT link.
	// They do not apply to other methods.

	ContentType string // required type; empty means any
	Size        int64  // exact length in bytes; 0 means any
	MaxSize     int64  // maximum length in bytes; 0 means unlimited
	SHA256      []byte // required digest; nil means any
	Overwrite   bool   // permits replacing an existing object; if false, the upload fails

	ticket bool // set by BeginUpload; the link may lead to the service
}

// Link is a signed URL, valid until Expires. The URL is a secret, because a
// client needs nothing else to use the link. Only the methods URL and Form
// return secrets: printing or encoding a Link, or a value that contains one,
// does not reveal them.
type Link struct {
	Method  string
	Header  http.Header // headers that the client must send
	Expires time.Time
	GrantID string // connects issue and uses of the link in the trail; see Revoke

	url  secret.Text
	form func() map[string]string // nil if the link has no form
}

// URL returns the signed URL. Treat it as a secret.
func (l Link) URL() string { return l.url.Reveal() }

// Form returns the form fields to send before the file if Method is POST, and
// nil otherwise. The fields contain the signature, so treat them as a secret.
func (l Link) Form() map[string]string {
	if l.form == nil {
		return nil
	}
	return maps.Clone(l.form())
}

// setSigned stores a link signed by a service.
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

// Link issues a signed link to key. The link is recorded durably before Link
// returns. Link does not check whether the object exists. A backend that cannot
// sign links, such as local files, requires [Options.Signer].
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

// checkLink checks the options before the link has any effect.
func (s *Store) checkLink(o *LinkOptions) error {
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete}, o.method()) {
		return fmt.Errorf("%w: method %.20q: want GET, HEAD, PUT or DELETE", ErrUnsupported, o.Method)
	}
	if err := o.checkMethod(); err != nil {
		return err
	}
	if err := s.checkGrant(o); err != nil {
		return err
	}
	if most := s.longestLink(o); o.Expiry < 0 || o.Expiry > most {
		return fmt.Errorf("invalid expiry %v: want a positive duration of at most %v, or 0 for the default", o.Expiry, most)
	}
	if !s.signsItself(o) && s.opts.Signer == nil {
		return fmt.Errorf("%w: backend %q cannot sign %s links: set Options.Signer", ErrUnsupported, s.Info().Backend, o.method())
	}
	return nil
}

// checkMethod returns an error that names an option not applicable to the
// method.
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

// longestLink returns the longest permitted lifetime for a link with these
// options.
func (s *Store) longestLink(o *LinkOptions) time.Duration {
	most := s.opts.MaxLinkExpiry
	if own := s.Info().Capabilities.Links.MaxExpiry; own > 0 && own < most && s.signsItself(o) {
		most = own
	}
	return most
}

// sign creates a link and the event of its issue, both for the object of e.
func (s *Store) sign(ctx context.Context, e audit.Event, o *LinkOptions) (*Link, audit.Event, error) {
	return s.signAs(ctx, e, o, e.Key, "")
}

// signAs is like sign, but the link leads to key and has the given grant ID. If
// grantID is empty, signAs generates one.
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
		disposition = "attachment" // the default of services is to display everything, including scripts
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
