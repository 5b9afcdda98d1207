package sqlaudit

// Which open intents the journal believes. The database is untrusted input: a
// row of file_access_intents counts only with the signature of a certified
// writer, and only until its operation is settled.

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

// maxStoredEvent limits the event of an intent, in bytes. The limits of the
// fields of [audit.Event] keep every event below it, however JSON escapes it.
const maxStoredEvent = 256 << 10

// intentText is what a writer signs about an intent. The hash covers the stored
// event byte for byte.
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

// signer returns an identity whose writer is registered, so that every other
// process can check what it signs. It registers this process's writer if no
// flush has done so yet.
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

// storedIntent is a row of file_access_intents as Dangling, Claim and Verify
// read it.
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
	Settled   bool    `db:"settled"` // read by Verify alone
}

// intentColumns selects a storedIntent. A stranger may have stored values of
// any length: what is too long is not read.
var intentColumns = "op_id, holder, writer_id, begun_at, renewals, " +
	boundedText("storage_backend") + boundedText("bucket") + boundedText("file_key") +
	fmt.Sprintf("CASE WHEN OCTET_LENGTH(event) <= %d THEN event END AS event, "+
		"CASE WHEN OCTET_LENGTH(signature) <= 64 THEN signature END AS signature", maxStoredEvent)

// boundedText selects a text column. A text that is longer than the fields of an
// event is cut, but not to one that a field can have.
func boundedText(column string) string {
	return fmt.Sprintf("SUBSTR(%s, 1, %d) AS %s, ", column, maxText+1, column)
}

// trust decides which writers' signatures count. It remembers writers, and may
// be used concurrently.
type trust struct {
	d     dialect
	keys  []note.Verifier // of the deployment; none: each writer vouches for itself
	texts []string        // of keys

	mu      sync.Mutex
	writers map[string]*signerState
}

// signerState is whether the signatures of a writer count.
type signerState struct {
	v   note.Verifier
	err error
}

var errWriterID = errors.New("its writer_id is not the ID of a writer")

// maxTrusted bounds how many writers a trust remembers.
const maxTrusted = 1000

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
	if w == nil { // it may be registered later
		return &signerState{err: errors.New("its writer is not in the database")}, nil
	}
	s := new(signerState)
	s.v, _, s.err = w.certified(t.keys)
	if t.writers == nil || len(t.writers) >= maxTrusted {
		t.writers = make(map[string]*signerState)
	}
	t.writers[id] = s
	return s, nil
}

// check returns the event of an intent that its writer signed. An error that
// wraps [audit.ErrUntrusted] means that the row must not be acted upon.
func (t *trust) check(ctx context.Context, db getter, in *storedIntent) (audit.Event, error) {
	refuse := func(err error) (audit.Event, error) {
		return audit.Event{}, fmt.Errorf("intent %.64q: %w: %v", in.OpID, audit.ErrUntrusted, err) //nolint:errorlint // not a mistake of the caller, whatever it wraps
	}
	if in.Event == nil {
		return refuse(errors.New("its event is longer than any that a journal stores"))
	}
	s, err := t.writer(ctx, db, in.WriterID)
	switch {
	case err != nil:
		return audit.Event{}, err
	case s.err != nil:
		return refuse(s.err)
	case !s.v.Verify(intentText(held{in.OpID, in.Holder}, *in.Event), in.Signature):
		return refuse(errors.New("its writer did not sign it"))
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
			return refuse(fmt.Errorf("its column %s holds %.100q, its signed event %.100q", c.column, stored, c.signed))
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

// believe returns the event of an intent that its writer signed.
func (j *Journal) believe(ctx context.Context, in *storedIntent) (e audit.Event, err error) {
	err = j.call(ctx, func(ctx context.Context) error {
		e, err = j.trust.check(ctx, j.db, in)
		return err
	})
	return e, err
}

// notTaken returns why an intent could not be taken over: an error that wraps
// [audit.ErrUntrusted] if its row is still there although the trail has its
// settlement, which removed the row, and otherwise [audit.ErrNoIntent].
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
	return fmt.Errorf("intent %s: %w: the trail has its settlement already", opID, audit.ErrUntrusted)
}

// settled is the condition that the trail has an entry of the operation.
const settled = "EXISTS (SELECT 1 FROM file_access_logs AS l WHERE l.op_id = ?)"

// maxNamed is how many rows that don't verify an error names.
const maxNamed = 10

// refusals collects the rows that were left alone, in bounded memory.
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
		err = fmt.Errorf("%d %s were left out: %w", r.total, rows, err)
	}
	return err
}

// inIntents finds the rows of file_access_intents that no stranger gave another
// kind of ID or number than this package stores.
var inIntents = proofTable{"file_access_intents", []string{"op_id", "holder", "writer_id"}, []string{"begun_at", "renewals"}}

// checkIntents has Verify report the open intents that no certified writer
// signed.
func (v *verification) checkIntents(ctx context.Context) error {
	err := v.oddRows(ctx, inIntents)
	if err == nil {
		err = v.openIntents(ctx)
	}
	if v.refused(ctx, err) {
		v.find(kindUnreadable, "", -1, "the database can't read the table file_access_intents: %v", err)
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
