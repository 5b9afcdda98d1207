package main

// This file implements the handling of every request: security headers,
// sessions, limits of rate and time, and responses.

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/time/rate"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// handlerFunc is a handler that returns its error. answer responds with a
// problem.
type handlerFunc func(http.ResponseWriter, *http.Request) error

func (s *service) answer(h handlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.outage(r.Context(), h(w, r)); err != nil {
			blobhttp.WriteError(w, r, err)
		}
	})
}

// outage converts err to a problem with status 503 if the database is
// unavailable. err may be nil.
func (s *service) outage(ctx context.Context, err error) error {
	if p := blobhttp.ProblemOf(err); p == nil || p.Status != 500 && p.Status != 504 {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if !lostConnection(err) && s.db.PingContext(ctx) == nil {
		return err
	}
	return &blobhttp.Problem{Status: 503, Code: "database", Detail: "Try again later.", Err: err}
}

// lostConnection reports whether an error is due to a lost or refused
// connection to the database. The database may be available again by now.
func lostConnection(err error) bool {
	var network net.Error
	var refused *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, mysql.ErrInvalidConn), errors.As(err, &refused):
		return true
	case errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded):
		return true
	case errors.As(err, &pg): // connection failed, too many connections, or the server is shutting down
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P")
	}
	return false
}

// report logs the errors that are not caused by the client. WriteError passes
// every error to it.
func (s *service) report(r *http.Request, err error) {
	if blobhttp.ProblemOf(err).Status < 500 && !errors.Is(err, blobhttp.ErrMisconfigured) || r.Context().Err() != nil {
		return
	}
	a, _ := audit.ActorFrom(r.Context())
	s.log.Warn("request failed", "request_id", a.RequestID, "route", r.Pattern, "error", err)
}

// refuse returns a problem. Without a code or title, it has those of its
// status.
func refuse(status int, code, title, detail string) error {
	return &blobhttp.Problem{Status: status, Code: code, Title: title, Detail: detail}
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "private, no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // ignore a disconnected client
	return nil
}

const maxJSON = 16 << 10

// readJSON decodes a small request body into v.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
		return refuse(415, "", "", "Send JSON as application/json.")
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxJSON))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return err
		}
		return refuse(400, "", "", "The request body is not valid JSON, or has unknown fields.")
	}
	if _, err := d.Token(); err != io.EOF {
		return refuse(400, "", "", "The request body is not valid JSON, or has unknown fields.")
	}
	return nil
}

// secured sets security headers. Browsers then run only the scripts of the
// service.
func (s *service) secured(next http.Handler) http.Handler {
	connect := "'self' https:" // to the bucket, for direct uploads
	if !s.set.files.Production() {
		connect += " http:"
	}
	csp := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src " + connect +
		"; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if s.set.https() {
			h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
		}
		next.ServeHTTP(w, r)
	})
}

// The cookies of the page. Scripts cannot read them, and requests from other
// sites do not include them.
const (
	cookieAccess  = "invoices_access"
	cookieRefresh = "invoices_refresh"
)

func (s *service) setCookies(w http.ResponseWriter, t *tokens) {
	for name, value := range map[string]string{cookieAccess: t.Access, cookieRefresh: t.Refresh} {
		c := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: s.set.https(), SameSite: http.SameSiteStrictMode, MaxAge: int(accessTime / time.Second)}
		if name == cookieRefresh {
			c.MaxAge = int(sessionTime / time.Second)
		}
		if value == "" {
			c.MaxAge = -1
		}
		http.SetCookie(w, c)
	}
}

type sessionKey struct{}

// sessionPatience limits the time to find a session in the database.
const sessionPatience = 10 * time.Second

// login is the session of a request, or the error of finding it.
type login struct {
	session *session
	err     error
}

// withSession adds the session to a request. An access token in the request
// must be valid. Otherwise the cookies of the page identify the session, and
// withSession renews them if necessary.
func (s *service) withSession(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var l login
		ctx, cancel := context.WithTimeout(r.Context(), sessionPatience)
		defer cancel()
		switch header := r.Header.Get("Authorization"); {
		case r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
			// Health checks must not depend on a session or the database.
		case strings.HasPrefix(r.URL.Path, "/static/"):
			// Static files are public and cached, so the response must not set
			// cookies.
		case r.URL.Path == "/auth/login" || r.URL.Path == "/auth/refresh":
			// A client may still send its expired token when it requests a new
			// one.
		case header == "":
			l.session, l.err = s.fromCookies(w, r.WithContext(ctx))
		default:
			scheme, token, _ := strings.Cut(header, " ")
			if !strings.EqualFold(scheme, "Bearer") {
				l.err = errToken
				break
			}
			l.session, l.err = s.authenticate(ctx, token)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, l)))
	})
}

func (s *service) fromCookies(w http.ResponseWriter, r *http.Request) (*session, error) {
	if c, err := r.Cookie(cookieAccess); err == nil {
		found, err := s.authenticate(r.Context(), c.Value)
		if !errors.Is(err, errToken) {
			return found, err
		}
	}
	c, err := r.Cookie(cookieRefresh)
	if err != nil {
		return nil, nil //nolint:nilnil // signed out, which is not an error
	}
	found, t, err := s.refresh(r.Context(), c.Value)
	switch {
	case errors.Is(err, errToken):
		s.setCookies(w, new(tokens))
		return nil, nil //nolint:nilnil // signed out; the page shows the form
	case err != nil:
		return nil, err
	}
	s.setCookies(w, t)
	return found, nil
}

func sessionOf(r *http.Request) *session {
	l, _ := r.Context().Value(sessionKey{}).(login)
	return l.session
}

// identify returns the user and tenant of a request, for blobhttp.Middleware.
func identify(r *http.Request) (user, tenant string, err error) {
	l, _ := r.Context().Value(sessionKey{}).(login)
	switch {
	case errors.Is(l.err, errToken):
		return "", "", l.err
	case l.err != nil:
		return "", "", &blobhttp.Problem{Status: 503, Detail: "Try again later.", Err: l.err}
	case l.session == nil:
		return "", "", nil
	}
	return l.session.UserID, l.session.TenantID, nil
}

func needUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sessionOf(r) == nil {
			blobhttp.WriteError(w, r, refuse(401, "", "", "Sign in and try again."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// slowest is the minimum transfer rate of a client, in bytes per second.
const slowest = 32 << 10

// inTime limits the duration of a request: one minute, plus the time to
// transfer the content at the minimum rate.
func (s *service) inTime(next http.Handler) http.Handler {
	most := s.patience + time.Duration(s.set.files.MaxUploadSize/slowest)*time.Second
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read := s.patience + time.Duration(r.ContentLength/slowest)*time.Second
		if r.ContentLength < 0 || read > most {
			read = most
		}
		now, c := time.Now(), http.NewResponseController(w)
		// Test servers do not support deadlines, so ignore the errors.
		_ = c.SetReadDeadline(now.Add(read))
		_ = c.SetWriteDeadline(now.Add(read + most))
		next.ServeHTTP(w, r)
	})
}

// limiter limits the rate of requests per client.
type limiter struct {
	rate  rate.Limit
	burst int

	mu    sync.Mutex
	known map[string]*known
}

type known struct {
	limit *rate.Limiter
	seen  time.Time
}

const maxKnown = 10_000

func newLimiter(perSecond float64, burst int) *limiter {
	return &limiter{rate: rate.Limit(perSecond), burst: burst, known: make(map[string]*known)}
}

// byIP returns the client's address. For IPv6 it returns the network, because
// one client can use all its addresses.
func byIP(r *http.Request) string {
	a, _ := audit.ActorFrom(r.Context())
	if ip, err := netip.ParseAddr(a.IP); err == nil && ip.Is6() && !ip.Is4In6() {
		if network, err := ip.Prefix(64); err == nil {
			return network.String()
		}
	}
	return a.IP
}

// byUser returns the user, or the address of an anonymous client.
func byUser(r *http.Request) string {
	if s := sessionOf(r); s != nil {
		return "user " + s.UserID
	}
	return byIP(r)
}

func (l *limiter) allow(who string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	k := l.known[who]
	if k == nil {
		if len(l.known) >= maxKnown {
			l.forget(now)
		}
		k = &known{limit: rate.NewLimiter(l.rate, l.burst)}
		l.known[who] = k
	}
	k.seen = now
	return k.limit.AllowN(now, 1)
}

// forget removes the clients with their full allowance. If too many remain, it
// removes all clients.
func (l *limiter) forget(now time.Time) {
	full := time.Duration(float64(l.burst) / float64(l.rate) * float64(time.Second))
	for who, k := range l.known {
		if now.Sub(k.seen) > full {
			delete(l.known, who)
		}
	}
	if len(l.known) >= maxKnown {
		clear(l.known)
	}
}

func (l *limiter) of(who func(*http.Request) string, next http.Handler) http.Handler {
	wait := strconv.Itoa(max(1, int(1/float64(l.rate))))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.allow(who(r)) {
			w.Header().Set("Retry-After", wait)
			blobhttp.WriteError(w, r, refuse(429, "rate", "Too many requests", "Try again in "+wait+" s."))
			return
		}
		next.ServeHTTP(w, r)
	})
}
