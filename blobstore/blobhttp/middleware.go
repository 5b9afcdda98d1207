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

// MiddlewareOptions configure [Middleware]. Nil and the zero value mean that all
// requests are anonymous and no proxy is trusted.
type MiddlewareOptions struct {
	// Identify returns the user who sends the request, and the user's tenant, from
	// the application's own session, token or certificate. Its error refuses the
	// request. [WriteError] responds to one that wraps a *Problem, blobstore.ErrDenied
	// or context.DeadlineExceeded as always, and to any other with a 401. An empty
	// user without an error makes the request anonymous. Nil: all requests are
	// anonymous.
	Identify func(*http.Request) (userID, tenantID string, err error)

	// Challenge is the WWW-Authenticate header of each 401 of this package, including
	// those of the handlers behind the middleware. Empty: "Bearer", or the challenge
	// of a Middleware in front.
	Challenge string

	// OnError receives each error that [WriteError] responds to, and each error of
	// a handler of this package that comes too late for a response, with the details
	// that the client does not see. [ProblemOf] gives the status; see also
	// [ErrMisconfigured]. OnError is called concurrently. Nil: OnError of a Middleware
	// in front, or else WriteError logs the errors that are not the client's fault.
	OnError func(r *http.Request, err error)

	// TrustedProxies are the addresses of the proxies that may name the client's
	// address. A request from any other address comes from the client itself. A Unix
	// socket has no address, so a proxy behind one is not trusted.
	TrustedProxies []netip.Prefix

	// ProxyHeader is the only header in which the trusted proxies name the client:
	// "X-Forwarded-For" (the default), "Forwarded" (RFC 7239), or a header with a
	// single address, such as "X-Real-Ip". Other headers are ignored, since the client
	// may have set them.
	ProxyHeader string
}

// Middleware returns a middleware that puts an audit.Actor into the context of
// each request: the user and tenant of Identify, the client's IP address, the user
// agent and a request ID. The ID is the X-Request-Id of the request if that has 1
// to 128 characters of A-Z a-z 0-9 and - . _ ~ : / + = @, or else a new UUID. The
// response repeats it.
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

// settings returns the settings for the handlers behind the middleware. Options
// that are not set are those of a Middleware in front.
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

// anonymous returns an actor without a user, for the sender of a request.
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

// withActor returns the request's context with an actor: that of Middleware, or an
// anonymous one.
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

// unidentified is the error of a function of the application that could not
// identify the user of a request.
func unidentified(err error) error {
	if errors.Is(err, blobstore.ErrDenied) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errors.Join(errUnauthenticated, err)
}
