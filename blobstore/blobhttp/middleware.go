package blobhttp

// Who acts: one middleware puts the actor into the context of a request, from which the store takes it for the trail.

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/google/uuid"

	"github.com/blobtrail/blobtrail/audit"
)

// MiddlewareOptions configure [Middleware]. Nil and the zero value mean that
// nobody is identified and no proxy trusted.
type MiddlewareOptions struct {
	// Identify tells which user, of which tenant, sends the request, by the
	// host's own session, token or certificate. Its error refuses the request,
	// with the answer that [WriteError] has for it: an error that wraps
	// blobstore.ErrDenied or context.DeadlineExceeded gets that of these, any
	// other is 401. An empty user without an error lets the request pass as an
	// anonymous one. Nil: all requests are anonymous.
	Identify func(*http.Request) (userID, tenantID string, err error)

	// Challenge is the WWW-Authenticate header of each answer 401 of this package,
	// also of those that the handlers behind the middleware give. Empty: "Bearer".
	Challenge string

	// TrustedProxies are the addresses of the proxies whose word on the client's
	// address is taken. Requests from others are from the client itself. Over a
	// Unix socket there is no address, and nobody is trusted.
	TrustedProxies []netip.Prefix

	// ProxyHeader is the one header in which the trusted proxies name the
	// client: "X-Forwarded-For" (the default), "Forwarded" (RFC 7239), or one
	// with a single address such as "X-Real-Ip". Others are never looked at,
	// since a client may have set them.
	ProxyHeader string
}

// Middleware returns a middleware that puts an audit.Actor into the context of
// each request: the user and tenant that the host identifies, the client's IP
// address, the user agent and a request id. The id is the X-Request-Id of the
// request if it is sane (1 to 128 characters of A-Z a-z 0-9 and - . _ ~ : / + =
// @), or else a fresh UUID; it is repeated in the answer.
func Middleware(opts *MiddlewareOptions) func(http.Handler) http.Handler {
	var o MiddlewareOptions
	if opts != nil {
		o = *opts
	}
	if o.Challenge == "" {
		o.Challenge = defaultChallenge
	}
	ips := newClientIPs(o.TrustedProxies, o.ProxyHeader)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, actor := r.Context(), anonymous(r, ips)
			if o.Challenge != defaultChallenge {
				ctx = context.WithValue(ctx, challengeKey{}, o.Challenge)
			}
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

// challengeKey is that of another challenge in the context of a request.
type challengeKey struct{}

// challenge returns the WWW-Authenticate header of a 401, which must have one.
func challenge(r *http.Request) string {
	if c, ok := r.Context().Value(challengeKey{}).(string); ok {
		return c
	}
	return defaultChallenge
}

// anonymous returns what a request shows of its sender.
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

// withActor returns the request's context with an actor in it: that of
// Middleware, or an anonymous one.
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
