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

// Execer is a transaction of the application. *sql.Tx, *sqlx.Tx and GORM's
// ConnPool implement it. To use a pgx.Tx, convert it with the module
// sqlaudit/pgxtx.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// CommitTx marks a staged upload as committed. tx is a transaction of the
// application in the same database as the trail. If tx commits, the object
// stays, even if the process crashes afterwards. If tx is rolled back or never
// commits, Reconcile removes the object. After an error, roll tx back.
//
// staged is the result of blobstore.Store.Stage. The store must write to this
// journal, either directly or as the first logger of [audit.Multi].
//
// The error wraps [audit.ErrNotHeld] in these cases:
//   - This journal no longer holds the operation.
//   - The upload was settled concurrently.
//   - tx belongs to another database.
//
// CommitTx updates one row and thereby locks it until tx ends. During that
// time, other calls on the same operation, such as Discard, fail after half a
// second with an error that wraps [ErrLocked]. Other operations are not
// delayed, except on MySQL. On SQLite, tx locks the whole database, and every
// call of the journal waits for it, up to [Options.Timeout]. Keep tx short.
func (j *Journal) CommitTx(ctx context.Context, tx Execer, staged interface{ OpID() string }) error {
	defer runtime.KeepAlive(staged) // the journal refers to the intent only weakly
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
	// A reconciler that read the intent before now finds that renewals has
	// changed, and stops.
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

// stagedIntents finds the intents of staged uploads that this process holds.
// Its references are weak: an intent disappears when it is settled or garbage
// collected. A lost intent remains until then, because its holder may still ask
// for it.
type stagedIntents struct {
	mu   sync.Mutex
	byOp map[string][]weak.Pointer[intent]
}

// add registers in if it belongs to a staged upload.
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

// find returns the intent of opID, or nil. If the journal claimed an operation
// that it also holds itself, the operation has two holders, and only one of
// them is valid. The ID alone does not identify the caller's intent, so find
// returns nil.
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
