package blobhttp

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// MiddlewareOptions configures [Middleware]. With nil or the zero value, all
// requests are anonymous and no proxy is trusted.
type MiddlewareOptions struct {
	// Identify returns the user of a request, and the user's tenant, from the
	// application's own session, token or certificate. An empty user without an
	// error makes the request anonymous. If Identify is nil, all requests are
	// anonymous.
	//
	// If Identify returns an error, the request is refused with status 401. An
	// error wrapping a *Problem, blobstore.ErrDenied or
	// context.DeadlineExceeded gets its usual response instead.
	Identify func(*http.Request) (userID, tenantID string, err error)

	// Challenge is the WWW-Authenticate header of each response with status 401
	// from this package, including the handlers inside the middleware. If
	// empty, it is inherited from an enclosing Middleware, or else "Bearer".
	Challenge string

	// OnError receives each error passed to [WriteError], and each error of a
	// handler after the response has started. The errors contain details hidden
	// from the client. [ProblemOf] returns the status of an error; see also
	// [ErrMisconfigured]. OnError is called concurrently.
	//
	// If OnError is nil, it is inherited from an enclosing Middleware. Without
	// any OnError, WriteError logs the errors not caused by the client.
	OnError func(r *http.Request, err error)

	// TrustedProxies lists the networks of the proxies that report the client's
	// address. A request from another address is attributed to that address. A
	// Unix socket has no address, so a proxy connected through one is not
	// trusted.
	TrustedProxies []netip.Prefix

	// ProxyHeader is the header with the client's address, set by the trusted
	// proxies. It is "X-Forwarded-For" (the default), "Forwarded" (RFC 7239),
	// or a header with a single address, such as "X-Real-Ip". All other headers
	// are ignored, because the client can set them.
	ProxyHeader string
}

// Middleware returns a middleware that adds an audit.Actor to the context of
// each request. The actor has the user and tenant from Identify, the client's
// IP address, the user agent and a request ID.
//
// The request ID is the X-Request-Id header of the request if it consists of 1
// to 128 of the characters A-Z, a-z, 0-9 and -._~:/+=@ only. Otherwise it is a
// new UUID. The response has the ID in the same header.
func Middleware(opts *MiddlewareOptions) func(http.Handler) http.Handler {
	var o MiddlewareOptions
	if opts != nil {
		o = *opts
	}
	mistakes := new(mistakeLog)
	ips := newClientIPs(o.TrustedProxies, o.ProxyHeader)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, actor := r.Context(), anonymous(r, ips)
			ctx = context.WithValue(ctx, settingsKey{}, o.settings(ctx, mistakes))
			w.Header().Set(requestIDHeader, actor.RequestID)
			if o.Identify != nil {
				user, tenant, err := o.Identify(r)
				if err != nil {
					WriteError(w, r.WithContext(audit.WithActor(ctx, actor)), unidentified(err))
					return
				}
				actor.UserID, actor.TenantID = user, tenant
			}
			next.ServeHTTP(w, r.WithContext(audit.WithActor(ctx, actor)))
		})
	}
}

const defaultChallenge = "Bearer"

// settings returns the settings for the handlers inside the middleware. It
// takes unset options from an enclosing Middleware.
func (o *MiddlewareOptions) settings(ctx context.Context, mistakes *mistakeLog) *settings {
	s := *settingsOf(ctx)
	s.mistakes = mistakes
	if o.Challenge != "" {
		s.challenge = o.Challenge
	}
	if o.OnError != nil {
		s.onError = o.OnError
	}
	return &s
}

// anonymous returns an actor for a request, without a user.
func anonymous(r *http.Request, ips *clientIPs) audit.Actor {
	a := audit.Actor{UserAgent: r.UserAgent(), RequestID: r.Header.Get(requestIDHeader)}
	if ip := ips.of(r); ip.IsValid() {
		a.IP = ip.String()
	}
	if !saneRequestID(a.RequestID) {
		a.RequestID = uuid.NewString()
	}
	return a
}

// withActor returns the request's context and its actor. If the context has no
// actor, withActor adds an anonymous one.
func withActor(r *http.Request) (context.Context, audit.Actor) {
	ctx := r.Context()
	if a, ok := audit.ActorFrom(ctx); ok {
		return ctx, a
	}
	a := anonymous(r, noProxies)
	return audit.WithActor(ctx, a), a
}

const requestIDHeader = "X-Request-Id"

func saneRequestID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == ':', c == '/', c == '+', c == '=', c == '@':
		default:
			return false
		}
	}
	return true
}

// unidentified returns the response error for an error of Identify.
func unidentified(err error) error {
	if errors.Is(err, blobstore.ErrDenied) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errors.Join(errUnauthenticated, err)
}
