package sqlaudit

// This file implements the grants of links: their uses and revocations. The database
// counts them for all processes, so that a link for one use is used once.

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

// Grants returns the grants in the journal's database, which count the uses of
// links and store which were revoked. A blobstore.Store with this journal uses them
// without being told.
//
// Each change is durable when the method returns, and applies to all processes that
// share the database. A row is removed an hour after its link expires. All methods
// may be called concurrently, take at most [Options.Timeout], and fail with
// [audit.ErrClosed] once the journal is closed.
func (j *Journal) Grants() signurl.Grants { return &grants{j} }

type grants struct{ j *Journal }

// Use counts a use of the grant. It fails with [signurl.ErrRevoked] if the grant
// was revoked or has been used limit times: of any number of calls, in any
// number of processes, no more than limit succeed. A limit of 0 allows any
// number, which are not counted. After any other error nothing must be served,
// but the use may have been counted.
func (g *grants) Use(ctx context.Context, grantID string, limit int, expires time.Time) error {
	return g.do(ctx, "counting the use of a grant", grantID, func(ctx context.Context, seen *grantRow) (done bool, err error) {
		// Looked at first, so that hammering at a link which is used up writes
		// nothing.
		switch {
		case seen != nil && (seen.Revoked || limit > 0 && seen.Used >= int64(limit)):
			return true, signurl.ErrRevoked
		case seen != nil && seen.Used < 0:
			return true, fmt.Errorf("%w: the grant's row says that it was used %d times", proof.ErrTampered, seen.Used)
		case limit <= 0:
			return true, nil
		case seen == nil:
			return g.insert(ctx, grantID, 1, 0, expires)
		}
		// Its end too: a row that somebody made before, with an earlier one, could
		// be deleted while the link lasts, and the link be used again.
		at := expires.UnixMicro()
		return g.exec(ctx, "UPDATE file_access_grants SET used = used + 1, expires_at = CASE WHEN expires_at < ? THEN ? ELSE expires_at END WHERE grant_id = ? AND used >= 0 AND used < ? AND revoked = 0",
			at, at, grantID, limit)
	})
}

// Revoke revokes the grant, whether it was used or not. Use fails, in every process,
// as soon as Revoke returned nil. A second call has no effect.
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

// maxGrantID is the length of the longest grant id that a link can have.
const maxGrantID = 64

// grantRow is a row of file_access_grants.
type grantRow struct {
	Used    int64 `db:"used"`
	Revoked bool  `db:"revoked"`
}

// do looks at the grant and has step act on what it saw. Each step is one
// statement, which changes the row only if it still is as it has to be; if it is
// not, another look says what became of it.
func (g *grants) do(ctx context.Context, what, grantID string, step func(context.Context, *grantRow) (done bool, err error)) error {
	if grantID == "" || len(grantID) > maxGrantID {
		return fmt.Errorf("sqlaudit: %s: its id has %d bytes: want 1 to %d", what, len(grantID), maxGrantID)
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
			case err == nil: // somebody else was quicker
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

// insert adds the grant's row unless there is one.
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

// grantsSwept is how many grants one statement removes.
const grantsSwept = 500

// sweepGrants removes the grants whose links have been over for an hour, so that
// clocks may differ by as much, and a second: the trigger of SQLite, which refuses
// the whole statement for one grant that is too young, knows no parts of one.
func (j *Journal) sweepGrants(ctx context.Context) error {
	for more := true; more; {
		err := j.call(ctx, func(ctx context.Context) error {
			var over []string
			err := j.readDB.SelectContext(ctx, &over, fmt.Sprintf("SELECT grant_id FROM file_access_grants WHERE expires_at <= %s - 3601000000 LIMIT %d", j.d.now(), grantsSwept))
			if more = len(over) > 0; err != nil || !more {
				return err
			}
			query, args, err := sqlx.In("DELETE FROM file_access_grants WHERE grant_id IN (?)", over)
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
