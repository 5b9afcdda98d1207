package sqlaudit

// This file decides which open intents are acted upon. The database is
// untrusted input: a row of file_access_intents is valid only with the
// signature of a certified writer, and only until its operation is settled.

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/note"

	"github.com/blobtrail/blobtrail/audit"
)

const intentTitle = "blobtrail intent v1"

// maxStoredEvent limits the event of an intent, in bytes. No valid event
// reaches it, because the fields of [audit.Event] are limited, even if JSON
// escapes every byte.
const maxStoredEvent = 256 << 10

// intentText returns the text of an intent that its writer signs. The hash
// covers the stored event byte for byte.
func intentText(h held, event string) []byte {
	return fmt.Appendf(nil, "%s\nop %s\nholder %s\nevent %x\n", intentTitle, h.opID, h.holder, sha256.Sum256([]byte(event)))
}

// signIntent returns the Ed25519 signature over an intent.
func (i *identity) signIntent(h held, event string) ([]byte, error) {
	sig, err := i.signer.Sign(intentText(h, event))
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: signing an intent: %w", err)
	}
	return sig, nil
}

// signer returns an identity whose writer is registered, so that other
// processes can verify its signatures. If no flush has registered this
// process's writer yet, signer does.
func (j *Journal) signer(ctx context.Context) (*identity, error) {
	for {
		if id := j.signing.Load(); id != nil {
			return id, nil
		}
		if err := j.submit(ctx, &job{register: true}); err != nil {
			return nil, err
		}
	}
}

// storedIntent is a row of file_access_intents as read by Dangling, Claim and
// Verify.
type storedIntent struct {
	OpID      string  `db:"op_id"`
	Holder    string  `db:"holder"`
	WriterID  string  `db:"writer_id"`
	Backend   *string `db:"storage_backend"`
	Bucket    *string `db:"bucket"`
	Key       *string `db:"file_key"`
	BegunAt   int64   `db:"begun_at"`
	Renewals  int64   `db:"renewals"`
	Event     *string `db:"event"` // nil: longer than maxStoredEvent
	Signature []byte  `db:"signature"`
	Settled   bool    `db:"settled"` // set only by Verify
}

// intentColumns is the column list for a storedIntent. An attacker may have
// stored values of any length, so values that are too long are not read.
var intentColumns = "op_id, holder, writer_id, begun_at, renewals, " +
	boundedText("storage_backend") + boundedText("bucket") + boundedText("file_key") +
	fmt.Sprintf("CASE WHEN OCTET_LENGTH(event) <= %d THEN event END AS event, "+
		"CASE WHEN OCTET_LENGTH(signature) <= 64 THEN signature END AS signature", maxStoredEvent)

// boundedText selects a text column. It shortens a text that is longer than the
// fields of an event, but the result is still too long to be valid.
func boundedText(column string) string {
	return fmt.Sprintf("SUBSTR(%s, 1, %d) AS %s, ", column, maxText+1, column)
}

// trust decides which writers' signatures are accepted. It caches writers and
// is safe for concurrent use.
type trust struct {
	d     dialect
	keys  []note.Verifier // of the deployment; if empty, writers certify themselves
	texts []string        // the same keys, in text form

	mu      sync.Mutex
	writers map[string]*signerState
}

// signerState is the verifier of a writer, or the reason why its signatures are
// not accepted.
type signerState struct {
	v   note.Verifier
	err error
}

var errWriterID = errors.New("invalid writer_id: want a UUID")

// maxTrusted limits the number of cached writers.
const maxTrusted = 1000

// writer returns the state of the writer with the given ID.
func (t *trust) writer(ctx context.Context, db getter, id string) (*signerState, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.writers[id]; s != nil {
		return s, nil
	}
	if checkUUID(id) != nil {
		return &signerState{err: errWriterID}, nil
	}
	w, err := loadWriter(ctx, db, t.d, id)
	if err != nil {
		return nil, err
	}
	if w == nil { // not cached: the writer may be registered later
		return &signerState{err: errors.New("the writer is not in file_access_writers")}, nil
	}
	s := new(signerState)
	s.v, _, s.err = w.certified(t.keys)
	if t.writers == nil || len(t.writers) >= maxTrusted {
		t.writers = make(map[string]*signerState)
	}
	t.writers[id] = s
	return s, nil
}

// check returns the event of an intent if its writer signed it. If the error
// wraps [audit.ErrUntrusted], the row must not be acted upon.
func (t *trust) check(ctx context.Context, db getter, in *storedIntent) (audit.Event, error) {
	refuse := func(err error) (audit.Event, error) {
		return audit.Event{}, fmt.Errorf("intent %.64q: %w: %v", in.OpID, audit.ErrUntrusted, err) //nolint:errorlint // err is not an error of the caller
	}
	if in.Event == nil {
		return refuse(errors.New("the event is longer than 256 KiB"))
	}
	s, err := t.writer(ctx, db, in.WriterID)
	switch {
	case err != nil:
		return audit.Event{}, err
	case s.err != nil:
		return refuse(s.err)
	case !s.v.Verify(intentText(held{in.OpID, in.Holder}, *in.Event), in.Signature):
		return refuse(errors.New("the writer's signature is invalid"))
	}
	e, err := loadEvent(in.OpID, *in.Event)
	if err != nil {
		return refuse(err)
	}
	for _, c := range []struct {
		column string
		stored *string
		signed string
	}{{"storage_backend", in.Backend, e.Backend}, {"bucket", in.Bucket, e.Bucket}, {"file_key", in.Key, e.Key}} {
		if stored := text(c.stored); stored != c.signed {
			return refuse(fmt.Errorf("column %s holds %.100q, but the signed event holds %.100q", c.column, stored, c.signed))
		}
	}
	return e, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// verifiedEvent returns the event of an intent if its writer signed it.
func (j *Journal) verifiedEvent(ctx context.Context, in *storedIntent) (e audit.Event, err error) {
	err = j.call(ctx, func(ctx context.Context) error {
		e, err = j.trust.check(ctx, j.db, in)
		return err
	})
	return e, err
}

// notTaken returns the reason why an intent could not be taken over. If the row
// still exists although the trail contains its settlement, the error wraps
// [audit.ErrUntrusted]: a settlement also removes the row, so the row was
// inserted again. Otherwise the result is [audit.ErrNoIntent].
func (j *Journal) notTaken(ctx context.Context, in *storedIntent) error {
	var n int
	err := j.call(ctx, func(ctx context.Context) error {
		return j.db.GetContext(ctx, &n, j.bind("SELECT count(*) FROM file_access_intents WHERE op_id = ? AND holder = ? AND renewals = ? AND "+settled), in.OpID, in.Holder, in.Renewals, in.OpID)
	})
	switch {
	case err != nil:
		return fmt.Errorf("sqlaudit: taking over an intent: %w", err)
	case n > 0:
		return settledAlready(in.OpID)
	}
	return audit.ErrNoIntent
}

func settledAlready(opID string) error {
	return fmt.Errorf("intent %s: %w: the operation is already settled", opID, audit.ErrUntrusted)
}

// settled is the condition that the trail contains an entry of the operation.
const settled = "EXISTS (SELECT 1 FROM file_access_logs AS l WHERE l.op_id = ?)"

// maxNamed limits the rows that one error names.
const maxNamed = 10

// refusals collects the errors about skipped rows in bounded memory.
type refusals struct {
	errs  []error
	total int
}

func (r *refusals) add(err error) {
	if r.total++; len(r.errs) < maxNamed {
		r.errs = append(r.errs, err)
	}
}

func (r *refusals) err(rows string) error {
	err := errors.Join(r.errs...)
	if more := r.total - len(r.errs); more > 0 {
		err = errors.Join(err, fmt.Errorf("and %d more", more))
	}
	if err != nil {
		err = fmt.Errorf("skipped %d %s: %w", r.total, rows, err)
	}
	return err
}

// inIntents selects the rows of file_access_intents with IDs and numbers of the
// types that this package stores.
var inIntents = proofTable{"file_access_intents", []string{"op_id", "holder", "writer_id"}, []string{"begun_at", "renewals"}}

// checkIntents makes Verify report open intents that no certified writer
// signed.
func (v *verification) checkIntents(ctx context.Context) error {
	err := v.oddRows(ctx, inIntents)
	if err == nil {
		err = v.openIntents(ctx)
	}
	if v.refused(ctx, err) {
		v.find(kindUnreadable, "", -1, "reading the table file_access_intents failed: %v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("sqlaudit: checking the open intents: %w", err)
	}
	return nil
}

func (v *verification) openIntents(ctx context.Context) error {
	const page = 100
	t := &trust{d: v.d, keys: v.keys}
	query := "SELECT " + intentColumns +
		", EXISTS (SELECT 1 FROM file_access_logs AS l WHERE l.op_id = file_access_intents.op_id) AS settled" +
		" FROM file_access_intents WHERE op_id %s ?" + inIntents.and(v.d) + " ORDER BY op_id LIMIT 100"
	last := ""
	if v.d.name() == "postgres" {
		last = nilUUID
	}
	for operator := ">="; ; operator = ">" {
		var found []storedIntent
		if err := v.db.SelectContext(ctx, &found, sqlx.Rebind(v.d.bind(), fmt.Sprintf(query, operator)), last); err != nil {
			return err
		}
		for i := range found {
			last = found[i].OpID
			_, err := t.check(ctx, v.db, &found[i])
			if err == nil && found[i].Settled {
				err = settledAlready(found[i].OpID)
			}
			switch {
			case errors.Is(err, audit.ErrUntrusted):
				v.find(kindIntent, found[i].WriterID, -1, "%v", err)
			case err != nil:
				return err
			}
		}
		if len(found) < page {
			return nil
		}
	}
}
