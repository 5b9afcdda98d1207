package main

// This file implements the trail of an invoice and its verification. The
// background work verifies the whole trail. A tenant sees only the result for
// its own invoice, and whether the whole trail is unchanged. Details could
// concern another tenant.

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// The verification states of an entry and of a trail.
const (
	verified = "verified" // unchanged since it was recorded
	pending  = "pending"  // recorded after the last verification
	tampered = "tampered" // changed since it was recorded
)

// verifier holds the result of the last verification.
type verifier struct {
	running sync.Mutex
	tried   time.Time // time and error of the last verification by a request
	failed  error

	mu     sync.Mutex
	report *proof.Report
	at     time.Time
	sizes  map[string]int64 // size of each writer's log
}

// verify checks the whole trail.
func (s *service) verify(ctx context.Context) error {
	s.checked.running.Lock()
	defer s.checked.running.Unlock()
	return s.verifyLocked(ctx)
}

func (s *service) verifyLocked(ctx context.Context) error {
	at := time.Now().UTC()
	report, err := s.app.Verify(ctx, &sqlaudit.VerifyOptions{LatestPublished: true})
	if err != nil {
		return err
	}
	switch err := report.Err(); {
	case errors.Is(err, proof.ErrTampered):
		s.log.Error("THE TRAIL WAS TAMPERED WITH", "findings", report.Total, "first", err)
	case err != nil:
		s.log.Warn("checking the trail against its published checkpoints failed", "error", err)
	}
	v := &s.checked
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report, v.at, v.sizes = report, at, make(map[string]int64)
	for _, stream := range report.Streams {
		v.sizes[stream.WriterID] = stream.Size
	}
	return nil
}

// state returns the result of the last verification for an entry.
func (v *verifier) state(e audit.Entry) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.report == nil || e.Seq >= v.sizes[e.WriterID] {
		return pending
	}
	for _, f := range v.report.Findings {
		// A finding without a position concerns all entries of the writer.
		if f.WriterID == e.WriterID && (f.Seq < 0 || f.Seq <= e.Seq && e.Seq <= f.Last) {
			return tampered
		}
	}
	return verified
}

// last returns the time of the last verification, and whether it found the
// trail unchanged.
func (v *verifier) last() (at time.Time, sound, ever bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at, v.report != nil && v.report.Err() == nil, v.report != nil
}

type trailEntry struct {
	ID        string    `json:"entry_id"`
	At        time.Time `json:"at"`
	Action    string    `json:"action"`
	Outcome   string    `json:"outcome"`
	Error     string    `json:"error,omitempty"`
	User      string    `json:"user,omitempty"`
	IP        string    `json:"ip,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Size      *int64    `json:"size,omitempty"`
	Link      string    `json:"grant_id,omitempty"` // connects the issue of a link with its uses
	State     string    `json:"verification"`
}

type trail struct {
	ID         string       `json:"invoice_id"`
	State      string       `json:"verification"`
	VerifiedAt *time.Time   `json:"verified_at,omitempty"`
	Entries    []trailEntry `json:"entries"`
}

const maxEntries = 500

// trailOf returns the newest entries for the file of an invoice, oldest first.
// It selects them by key: the user of a link may belong to no tenant, and the
// entry then does not name the invoice. The key comes from the tenant's own
// row.
func (s *service) trailOf(ctx context.Context, i *invoice) (*trail, error) {
	t := &trail{ID: i.ID, State: verified}
	if at, _, ever := s.checked.last(); ever {
		t.VerifiedAt = &at
	}
	emails, err := s.emails(ctx, i.TenantID)
	if err != nil {
		return nil, err
	}
	for e, err := range s.journal.Entries(ctx, audit.Query{Key: i.FileKey, NewestFirst: true, Limit: maxEntries}) {
		if err != nil {
			return nil, err
		}
		user := emails[e.Actor.UserID]
		if user == "" && e.Actor.TenantID == i.TenantID {
			user = e.Actor.UserID // do not reveal the users of other tenants
		}
		te := trailEntry{e.ID, e.OccurredAt, string(e.Action), string(e.Outcome), e.ErrorCode, user, e.Actor.IP, e.Actor.UserAgent, e.Size, e.GrantID, s.checked.state(e)}
		t.Entries = append(t.Entries, te)
		if te.State == tampered || te.State == pending && t.State == verified {
			t.State = te.State
		}
	}
	slices.Reverse(t.Entries)
	return t, nil
}

// emails returns the email addresses of a tenant's users by user ID.
func (s *service) emails(ctx context.Context, tenant string) (map[string]string, error) {
	var users []struct{ ID, Email string }
	err := s.db.SelectContext(ctx, &users, s.db.Rebind("SELECT id, email FROM users WHERE tenant_id = ?"), tenant)
	out := make(map[string]string, len(users))
	for _, u := range users {
		out[u.ID] = u.Email
	}
	return out, err
}

// handleTrail responds with the trail of an invoice, even if the invoice is
// deleted.
func (s *service) handleTrail(w http.ResponseWriter, r *http.Request) error {
	i, err := s.find(r.Context(), r.PathValue("id"), stateStored, stateDeleting, stateDeleted)
	if err != nil {
		return err
	}
	t, err := s.trailOf(r.Context(), i)
	if err != nil {
		return err
	}
	return writeJSON(w, 200, t)
}

// verifyPause is the minimum time between two verifications by requests.
const verifyPause = 5 * time.Second

// handleVerify verifies the trail, unless another request did so within
// verifyPause.
func (s *service) handleVerify(w http.ResponseWriter, r *http.Request) error {
	if err := s.verifyNow(r.Context()); err != nil {
		return err
	}
	at, sound, _ := s.checked.last()
	return writeJSON(w, 200, map[string]any{"verified_at": at, "sound": sound})
}

func (s *service) verifyNow(ctx context.Context) error {
	v := &s.checked
	v.running.Lock()
	defer v.running.Unlock()
	if time.Since(v.tried) >= verifyPause {
		// Other requests wait for this result, even if this client disconnects.
		v.failed = s.verifyLocked(context.WithoutCancel(ctx))
		v.tried = time.Now()
	}
	return v.failed
}
