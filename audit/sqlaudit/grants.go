package sqlaudit

// This file implements the grants of links: their use counts and revocations.
// The database counts the uses of all processes together, so that a single-use
// link works only once.

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/signurl"
)

// Grants returns the grants in the journal's database. They count the uses of
// links and store revocations. A blobstore.Store with this journal uses them
// automatically.
//
// Each change is durable when the method returns, and applies to all processes
// that share the database. A row is removed an hour after its link expires. All
// methods may be called concurrently. They take at most [Options.Timeout], and
// fail with [audit.ErrClosed] after the journal is closed.
func (j *Journal) Grants() signurl.Grants { return &grants{j} }

type grants struct{ j *Journal }

// Use counts a use of the grant. It returns [signurl.ErrRevoked] if the grant
// was revoked or has been used limit times. At most limit calls succeed, across
// all processes. A limit of 0 means unlimited, and such uses are not counted.
// After any other error, do not serve the link, although the use may have been
// counted.
func (g *grants) Use(ctx context.Context, grantID string, limit int, expires time.Time) error {
	return g.do(ctx, "counting the use of a grant", grantID, func(ctx context.Context, seen *grantRow) (done bool, err error) {
		// The row is read first, so that repeated requests for a used-up link
		// do not write to the database.
		switch {
		case seen != nil && (seen.Revoked || limit > 0 && seen.Used >= int64(limit)):
			return true, signurl.ErrRevoked
		case seen != nil && seen.Used < 0:
			return true, fmt.Errorf("%w: the grant's row has a negative use count, %d", proof.ErrTampered, seen.Used)
		case limit <= 0:
			return true, nil
		case seen == nil:
			return g.insert(ctx, grantID, 1, 0, expires)
		}
		// Update expires_at as well. An attacker could have inserted the row
		// with an earlier time. It could then be deleted before the link
		// expires, and the link could be used again.
		at := expires.UnixMicro()
		return g.exec(ctx, "UPDATE file_access_grants SET used = used + 1, expires_at = CASE WHEN expires_at < ? THEN ? ELSE expires_at END WHERE grant_id = ? AND used >= 0 AND used < ? AND revoked = 0",
			at, at, grantID, limit)
	})
}

// Revoke revokes the grant, whether or not it was used. After Revoke has
// returned nil, Use fails in every process. A second call has no effect.
func (g *grants) Revoke(ctx context.Context, grantID string, expires time.Time) error {
	return g.do(ctx, "revoking a grant", grantID, func(ctx context.Context, seen *grantRow) (done bool, err error) {
		switch {
		case seen == nil:
			return g.insert(ctx, grantID, 0, 1, expires)
		case seen.Revoked:
			return true, nil
		}
		at := expires.UnixMicro()
		return g.exec(ctx, "UPDATE file_access_grants SET revoked = 1, expires_at = CASE WHEN expires_at < ? THEN ? ELSE expires_at END WHERE grant_id = ? AND revoked = 0",
			at, at, grantID)
	})
}

// maxGrantID is the maximum length of a grant ID in a link.
const maxGrantID = 64

// grantRow is a row of file_access_grants.
type grantRow struct {
	Used    int64 `db:"used"`
	Revoked bool  `db:"revoked"`
}

// do reads the grant and passes it to step. A step is one statement, which
// changes the row only if the row is still in the expected state. If it is not,
// do reads the row again.
func (g *grants) do(ctx context.Context, what, grantID string, step func(context.Context, *grantRow) (done bool, err error)) error {
	if grantID == "" || len(grantID) > maxGrantID {
		return fmt.Errorf("sqlaudit: %s: the grant ID has %d bytes: want 1 to %d", what, len(grantID), maxGrantID)
	}
	err := g.j.call(ctx, func(ctx context.Context) error {
		for attempt := 0; ; {
			var row grantRow
			seen := &row
			err := g.j.readDB.GetContext(ctx, seen, g.j.bind("SELECT used, revoked FROM file_access_grants WHERE grant_id = ?"), grantID)
			if errors.Is(err, sql.ErrNoRows) {
				seen, err = nil, nil
			}
			done := false
			if err == nil {
				done, err = step(ctx, seen)
			}
			switch {
			case done:
				return err
			case err == nil: // another process changed the row first
			case !g.j.d.classify(err).transient() || !g.j.pause(ctx, attempt, err):
				return err
			default:
				attempt++
			}
		}
	})
	if err == nil || errors.Is(err, signurl.ErrRevoked) {
		return err
	}
	return fmt.Errorf("sqlaudit: %s: %w", what, err)
}

// insert adds the grant's row, unless the row exists.
func (g *grants) insert(ctx context.Context, grantID string, used, revoked int, expires time.Time) (done bool, err error) {
	query := "INSERT INTO file_access_grants (grant_id, used, revoked, expires_at) VALUES (?, ?, ?, ?) ON CONFLICT (grant_id) DO NOTHING"
	if g.j.d.name() == "mysql" {
		query = "INSERT IGNORE INTO file_access_grants (grant_id, used, revoked, expires_at) VALUES (?, ?, ?, ?)"
	}
	return g.exec(ctx, query, grantID, used, revoked, expires.UnixMicro())
}

// exec runs a statement and reports whether it changed the row.
func (g *grants) exec(ctx context.Context, query string, args ...any) (done bool, err error) {
	if err := g.j.checkFile(); err != nil {
		return false, err
	}
	res, err := g.j.db.ExecContext(ctx, g.j.bind(query), args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, cmp.Or(err, g.j.checkFile())
}

// grantsSwept is the number of grants that one statement removes.
const grantsSwept = 500

// sweepGrants removes the grants of links that expired at least an hour and a
// second ago. The hour allows for differences between clocks. The second
// prevents failures on SQLite, where the trigger rejects the whole statement if
// a single grant is too young, and has a resolution of seconds.
func (j *Journal) sweepGrants(ctx context.Context) error {
	for more := true; more; {
		err := j.call(ctx, func(ctx context.Context) error {
			var expired []string
			err := j.readDB.SelectContext(ctx, &expired, fmt.Sprintf("SELECT grant_id FROM file_access_grants WHERE expires_at <= %s - 3601000000 LIMIT %d", j.d.now(), grantsSwept))
			if more = len(expired) > 0; err != nil || !more {
				return err
			}
			query, args, err := sqlx.In("DELETE FROM file_access_grants WHERE grant_id IN (?)", expired)
			if err != nil {
				return err
			}
			_, err = j.db.ExecContext(ctx, j.bind(query), args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
