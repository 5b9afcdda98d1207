package sqlaudit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"weak"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
)

// Execer is a transaction of the application: *sql.Tx, *sqlx.Tx and GORM's
// ConnPool implement it. For pgx, the module sqlaudit/pgxtx converts a pgx.Tx.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// CommitTx marks a staged upload as committed in tx, a transaction of the
// application in the database of the trail. If tx is committed, the object is
// kept, even if the process crashes afterwards. If tx is rolled back or never
// committed, Reconcile removes the object. After an error, roll tx back.
//
// staged is the result of blobstore.Store.Stage. The store must write to this
// journal, either directly or as the first logger of [audit.Multi]. The error
// wraps [audit.ErrNotHeld] if this journal no longer holds the operation, if the
// upload was settled concurrently, or if tx belongs to another database.
//
// CommitTx changes one row, which tx locks until it ends. Until then a call on
// the same operation, such as Discard, fails after half a second with an error
// that wraps [ErrLocked]. Other operations are not delayed, except on MySQL. On
// SQLite tx locks the whole database, and every call of the journal waits for it,
// up to [Options.Timeout]. Keep tx short.
func (j *Journal) CommitTx(ctx context.Context, tx Execer, staged interface{ OpID() string }) error {
	defer runtime.KeepAlive(staged) // and with it the intent, which the journal refers to weakly
	in := j.staged.find(staged.OpID())
	if in == nil {
		return fmt.Errorf("sqlaudit: committing a staged upload: operation %s: %w by this journal", staged.OpID(), audit.ErrNotHeld)
	}
	e := in.event.Clone()
	e.Details.Committed = true
	text := eventText(e)
	id := j.signing.Load()
	if id == nil { // the flush that stored the intent registered a writer
		return errors.New("sqlaudit: committing a staged upload: the journal has no registered writer")
	}
	sig, err := id.signIntent(in.held, text)
	if err != nil {
		return err
	}
	if err := j.checkFile(); err != nil {
		return err
	}
	// The change of renewals stops a reconciler that has read the intent before.
	res, err := tx.ExecContext(ctx, sqlx.Rebind(j.d.bind(),
		"UPDATE file_access_intents SET event = ?, writer_id = ?, signature = ?, renewals = renewals + 1 WHERE op_id = ? AND holder = ?"),
		text, id.ID, sig, in.opID, in.holder)
	if err != nil {
		return fmt.Errorf("sqlaudit: committing a staged upload: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("sqlaudit: committing a staged upload: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("sqlaudit: committing a staged upload: operation %s: %w", in.opID, audit.ErrNotHeld)
	}
	return nil
}

// stagedIntents finds the intents of staged uploads that this process holds. It
// refers to them weakly: an intent is forgotten when it is settled or garbage.
// An intent that was lost stays until then, because its holder may still ask.
type stagedIntents struct {
	mu   sync.Mutex
	byOp map[string][]weak.Pointer[intent]
}

// add remembers in if it is that of a staged upload.
func (s *stagedIntents) add(in *intent) {
	if !in.event.Details.Staged {
		return
	}
	p := weak.Make(in)
	s.mu.Lock()
	if s.byOp == nil {
		s.byOp = make(map[string][]weak.Pointer[intent])
	}
	s.byOp[in.opID] = append(s.byOp[in.opID], p)
	s.mu.Unlock()
	opID := in.opID
	runtime.AddCleanup(in, func(p weak.Pointer[intent]) { s.remove(opID, p) }, p)
}

// find returns the intent of opID. If the journal took the operation over from
// itself, two holders can exist, and only one of them is right. The ID does not
// say which one asks, so find returns nil.
func (s *stagedIntents) find(opID string) *intent {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.byOp[opID]; len(held) == 1 {
		return held[0].Value()
	}
	return nil
}

func (s *stagedIntents) remove(opID string, p weak.Pointer[intent]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(s.byOp[opID], func(other weak.Pointer[intent]) bool { return other == p })
	if len(rest) == 0 {
		delete(s.byOp, opID)
		return
	}
	s.byOp[opID] = rest
}
