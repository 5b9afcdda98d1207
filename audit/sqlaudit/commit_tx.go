package sqlaudit

// Tying a staged upload to the host's own transaction.

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
)

// CommitTx marks a staged upload as committed in tx, a transaction of the host
// in the database that holds the trail: once tx is committed the file stands,
// whatever becomes of the process; if tx is rolled back, or never committed,
// the reconciler removes the file. After an error tx must be rolled back; one
// that wraps [audit.ErrNotHeld] says that the upload was settled meanwhile, or
// that tx is of another database.
//
// staged is what blobstore.Store.Stage returned. CommitTx writes one row, which tx
// locks until it ends. Until then a call on the same operation, such as Discard,
// fails after half a second with an error that wraps [ErrLocked]; others are not
// delayed, except on MySQL. On SQLite tx locks the whole database, and every call of the journal
// waits for its end, up to [Options.Timeout]: keep tx short there.
func CommitTx(ctx context.Context, tx *sqlx.Tx, staged interface{ Intent() audit.Intent }) error {
	in, err := unwrap(staged.Intent())
	if err != nil {
		return err
	}
	e := in.event.Clone()
	if !e.Details.Staged {
		return fmt.Errorf("sqlaudit: operation %s is not a staged upload", in.opID)
	}
	e.Details.Committed = true
	text := eventText(e)
	id := in.j.signing.Load()
	if id == nil { // the flush that stored the intent registered a writer
		return errors.New("sqlaudit: the intent's journal has no registered writer")
	}
	sig, err := id.signIntent(in.held, text)
	if err != nil {
		return err
	}
	if err := in.j.checkFile(); err != nil {
		return err
	}
	// The change of renewals stops a reconciler that has read the intent before.
	res, err := tx.ExecContext(ctx, sqlx.Rebind(in.j.d.bind(),
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
		return audit.ErrNotHeld
	}
	return nil
}

// unwrap finds the journal's own intent behind those that wrap it.
func unwrap(in audit.Intent) (*intent, error) {
	for {
		switch i := in.(type) {
		case *intent:
			return i, nil
		case interface{ Unwrap() audit.Intent }:
			in = i.Unwrap()
		default:
			return nil, errors.New("sqlaudit: CommitTx needs an intent of a Journal of this package")
		}
	}
}
