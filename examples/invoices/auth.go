package main

// This file implements users, sessions and their tokens. An access token is
// valid for 15 minutes. A refresh token can be used once. Both belong to a
// session. Each request looks up its session, so signing out takes effect
// immediately.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/crypto/bcrypt"
)

const (
	accessTime   = 15 * time.Minute
	sessionTime  = 14 * 24 * time.Hour
	refreshGrace = 10 * time.Second // two tabs may use the same refresh token within this time
	clockSkew    = time.Minute      // allowed difference between the clocks of two processes

	issuer          = "invoices"
	audienceAccess  = "invoices"
	audienceRefresh = "invoices/refresh"
)

var errToken = errors.New("invalid token")

// claims are the claims of a token. Subject is the user. In a refresh token, ID
// must match the ID stored in the session.
type claims struct {
	jwt.RegisteredClaims
	Tenant  string `json:"tid"`
	Session string `json:"sid"`
}

type tokens struct {
	Access    string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn int64  `json:"expires_in"` // seconds
	Refresh   string `json:"refresh_token"`
}

func (s *service) sign(c claims, audience string, life time.Duration) (string, error) {
	now := time.Now()
	c.Issuer, c.Audience = issuer, jwt.ClaimStrings{audience}
	c.IssuedAt, c.NotBefore, c.ExpiresAt = jwt.NewNumericDate(now), jwt.NewNumericDate(now.Add(-clockSkew)), jwt.NewNumericDate(now.Add(life))
	return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(s.set.jwtKey)
}

// parse validates a token: its signature (HMAC-SHA-256 with the key of the
// service), issuer, audience and expiry.
func (s *service) parse(token, audience string) (*claims, error) {
	c := new(claims)
	_, err := jwt.ParseWithClaims(token, c, func(*jwt.Token) (any, error) { return s.set.jwtKey, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired())
	if err != nil {
		return nil, errors.Join(errToken, err)
	}
	return c, nil
}

// session is a session of a user.
type session struct {
	ID         string `db:"id"`
	UserID     string `db:"user_id"`
	TenantID   string `db:"tenant_id"`
	Email      string `db:"email"`
	RefreshID  string `db:"refresh_id"`
	PreviousID string `db:"previous_id"`
	RotatedAt  int64  `db:"rotated_at"`
}

// owns returns the session in the claims, if it is open and belongs to that
// user.
func (s *service) owns(ctx context.Context, c *claims) (*session, error) {
	var found session
	err := s.db.GetContext(ctx, &found, s.db.Rebind(`SELECT s.id, s.user_id, u.tenant_id, u.email, s.refresh_id, s.previous_id, s.rotated_at
		FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = ? AND s.ended_at IS NULL AND s.expires_at > ?`), c.Session, time.Now().UnixMilli())
	if errors.Is(err, sql.ErrNoRows) || err == nil && (found.UserID != c.Subject || found.TenantID != c.Tenant) {
		return nil, errToken
	}
	return &found, err
}

// authenticate returns the session of an access token.
func (s *service) authenticate(ctx context.Context, token string) (*session, error) {
	c, err := s.parse(token, audienceAccess)
	if err != nil {
		return nil, err
	}
	return s.owns(ctx, c)
}

// issue signs the two tokens of a session.
func (s *service) issue(found *session) (t *tokens, err error) {
	t = &tokens{Type: "Bearer", ExpiresIn: int64(accessTime / time.Second)}
	c := claims{Tenant: found.TenantID, Session: found.ID}
	c.Subject = found.UserID
	if t.Access, err = s.sign(c, audienceAccess, accessTime); err != nil {
		return nil, err
	}
	c.ID = found.RefreshID
	t.Refresh, err = s.sign(c, audienceRefresh, sessionTime)
	return t, err
}

// dummyHash is compared with the password if the user does not exist, so that
// the response time does not reveal whether a user exists.
var dummyHash, _ = bcrypt.GenerateFromPassword([]byte(uuid.NewString()), bcrypt.DefaultCost)

// login opens a session.
func (s *service) login(ctx context.Context, email, password string) (*session, *tokens, error) {
	var u struct {
		ID       string `db:"id"`
		TenantID string `db:"tenant_id"`
		Hash     string `db:"password_hash"`
	}
	if email = strings.ToLower(strings.TrimSpace(email)); !storable(email) {
		email = "" // matches no user
	}
	err := s.db.GetContext(ctx, &u, s.db.Rebind("SELECT id, tenant_id, password_hash FROM users WHERE email = ?"), email)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, nil, err
	}
	hash := dummyHash
	if err == nil {
		hash = []byte(u.Hash)
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || err != nil {
		return nil, nil, refuse(401, "credentials", "Wrong email address or password", "Check both and try again.")
	}
	now := time.Now()
	found := &session{ID: uuid.NewString(), UserID: u.ID, TenantID: u.TenantID, Email: email, RefreshID: uuid.NewString()}
	if _, err := s.db.ExecContext(ctx, s.db.Rebind("INSERT INTO sessions (id, user_id, refresh_id, previous_id, rotated_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)"),
		found.ID, found.UserID, found.RefreshID, "", now.UnixMilli(), now.Add(sessionTime).UnixMilli()); err != nil {
		return nil, nil, err
	}
	t, err := s.issue(found)
	return found, t, err
}

// refresh replaces the tokens of a session. A second use of a refresh token
// means that the token was stolen. refresh then ends the session.
func (s *service) refresh(ctx context.Context, token string) (*session, *tokens, error) {
	c, err := s.parse(token, audienceRefresh)
	if err != nil {
		return nil, nil, err
	}
	found, err := s.owns(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	switch {
	case c.ID == found.RefreshID:
		next := uuid.NewString()
		res, err := s.db.ExecContext(ctx, s.db.Rebind("UPDATE sessions SET refresh_id = ?, previous_id = ?, rotated_at = ? WHERE id = ? AND refresh_id = ? AND ended_at IS NULL"),
			next, c.ID, now.UnixMilli(), found.ID, c.ID)
		if err != nil {
			return nil, nil, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return nil, nil, err
		}
		if n == 0 { // another tab refreshed first; the token is now the previous one
			return s.refresh(ctx, token)
		}
		found.RefreshID = next
	case c.ID == found.PreviousID && now.Sub(time.UnixMilli(found.RotatedAt)) < refreshGrace:
	default:
		return nil, nil, errors.Join(errToken, s.logout(ctx, found.ID))
	}
	t, err := s.issue(found)
	return found, t, err
}

func (s *service) logout(ctx context.Context, sessionID string) error {
	_, err := s.db.ExecContext(ctx, s.db.Rebind("UPDATE sessions SET ended_at = ? WHERE id = ? AND ended_at IS NULL"), time.Now().UnixMilli(), sessionID)
	return err
}

var (
	tenantName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	emailName  = regexp.MustCompile(`^[^\s@]+@[^\s@]+$`)
)

func (s *service) addUser(ctx context.Context, email, tenant, password string) error {
	email = strings.ToLower(email)
	switch {
	case !emailName.MatchString(email) || len(email) > 190 || !storable(email):
		return fmt.Errorf("invalid email address %q: want name@domain, at most 190 bytes", email)
	case !tenantName.MatchString(tenant):
		return fmt.Errorf("invalid tenant %q: want at most 40 characters from a-z, 0-9 and hyphens", tenant)
	case len(password) < 10 || len(password) > 72: // limit of bcrypt
		return errors.New("invalid password: want 10 to 72 bytes")
	}
	switch taken, err := s.hasUser(ctx, email); {
	case err != nil:
		return err
	case taken:
		return fmt.Errorf("%q: %w", email, errTaken)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), s.passwordCost)
	if err != nil {
		return err
	}
	if _, err := s.db.ExecContext(ctx, s.db.Rebind("INSERT INTO users (id, tenant_id, email, password_hash, created_at) VALUES (?, ?, ?, ?, ?)"),
		uuid.NewString(), tenant, email, string(hash), time.Now().UnixMilli()); err != nil {
		if taken, _ := s.hasUser(ctx, email); taken { // another process added the user concurrently
			return fmt.Errorf("%q: %w", email, errTaken)
		}
		return fmt.Errorf("adding the user: %w", err)
	}
	return nil
}

var errTaken = errors.New("a user with this email address already exists")

// The user of a new service in development.
const (
	demoEmail    = "demo@example.com"
	demoTenant   = "demo"
	demoPassword = "demo-password"
)

func (s *service) hasUser(ctx context.Context, email string) (bool, error) {
	var n int
	err := s.db.GetContext(ctx, &n, s.db.Rebind("SELECT COUNT(*) FROM users WHERE email = ?"), email)
	return n > 0, err
}

// demoUser adds the demo user to a service without users. It does so only in
// development. In production, it returns an error if the demo user exists,
// because its password is public.
func (s *service) demoUser(ctx context.Context) error {
	var users int
	if err := s.db.GetContext(ctx, &users, "SELECT COUNT(*) FROM users"); err != nil {
		return err
	}
	demo, err := s.hasUser(ctx, demoEmail)
	if err != nil {
		return err
	}
	switch production := s.set.files.Production(); {
	case production && demo:
		return fmt.Errorf("APP_ENV is %s, but the database has the demo user %s with a public password: remove it with DELETE FROM users WHERE email = '%s'", s.set.files.AppEnv, demoEmail, demoEmail)
	case production && users == 0:
		s.log.Warn("no users exist: add one with adduser EMAIL TENANT")
	case production:
	case users == 0:
		if err := s.addUser(ctx, demoEmail, demoTenant, demoPassword); err != nil && !errors.Is(err, errTaken) {
			return err
		}
		demo = true
		fallthrough
	default:
		if demo {
			s.log.Info("demo user", "email", demoEmail, "password", demoPassword)
		}
	}
	return nil
}
