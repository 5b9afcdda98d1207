package sqlaudit

// The proof of one entry, which is checked without the database.

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blobtrail/blobtrail/audit"
)

// ErrNoEntry: the trail has no entry of that id.
var ErrNoEntry = errors.New("sqlaudit: no such entry")

// Proof shows to somebody without access to the database that an entry is part
// of a trail. It is a JSON document; [VerifyProof] checks it.
type Proof struct {
	Version int `json:"version"` // 1
	// Entry is the canonical form of the entry, byte for byte.
	Entry string `json:"entry"`
	// Personal are the fields that the entry commits to; nil once they are
	// erased. Set it to nil to pass on a proof without them.
	Personal    *ProofPersonal `json:"personal,omitempty"`
	Index       int64          `json:"index"` // the entry's place in the log
	Path        []tlog.Hash    `json:"path"`  // of RFC 6962, in base64
	Checkpoint  string         `json:"checkpoint"`
	Certificate string         `json:"certificate"`
}

// ProofPersonal are the personal fields of a proven entry. A field that is
// absent was not recorded.
type ProofPersonal struct {
	Salt      string  `json:"salt"` // in hexadecimal digits
	UserID    *string `json:"user_id,omitempty"`
	IP        *string `json:"ip_address,omitempty"`
	UserAgent *string `json:"user_agent,omitempty"`
	RequestID *string `json:"request_id,omitempty"`
}

// Prove returns the proof of the entry of that id, up to the next checkpoint
// behind it. It reads the hashes of its writer's log, so it takes time in
// proportion to the length of that log: about a second for a million entries. The error
// wraps [ErrNoEntry] if there is no such entry, and [ErrTampered] if the log
// does not give the root that the writer signed.
func (j *Journal) Prove(ctx context.Context, entryID string) (*Proof, error) {
	select {
	case <-j.q.closing:
		return nil, fmt.Errorf("sqlaudit: proving an entry: %w", audit.ErrClosed)
	default:
	}
	if checkUUID(entryID) != nil {
		return nil, fmt.Errorf("%w: %.64q is not a lower-case UUID", ErrNoEntry, entryID)
	}
	p, _, err := j.prove(ctx, entryID)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: proving entry %s: %w", entryID, err)
	}
	return p, nil
}

// authentic returns the entry of that ID as its proof shows it. An error that
// wraps [audit.ErrUntrusted] means that no certified writer signed it.
func (j *Journal) authentic(ctx context.Context, entryID string) (audit.Entry, error) {
	p, own, err := j.prove(ctx, entryID)
	if err != nil && !errors.Is(err, ErrTampered) && !errors.Is(err, ErrNoEntry) {
		return audit.Entry{}, err
	}
	var e audit.Entry
	if err == nil {
		trusted := j.trust.keys
		if len(trusted) == 0 {
			trusted = []note.Verifier{own}
		}
		e, err = verifyProof(p, trusted)
	}
	if err != nil {
		return audit.Entry{}, fmt.Errorf("entry %.64q: %w: %v", entryID, audit.ErrUntrusted, err) //nolint:errorlint // the trail is at fault, not the caller
	}
	return e, nil
}

// prove also returns the verifier of the entry's writer.
func (j *Journal) prove(ctx context.Context, entryID string) (*Proof, note.Verifier, error) {
	tx, err := readTx(ctx, j.readDB, j.d)
	if err != nil {
		return nil, nil, err
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	list, err := j.readRows(ctx, tx, "id = ?", "1", entryID)
	if err != nil {
		return nil, nil, err
	}
	if len(list) == 0 {
		return nil, nil, ErrNoEntry
	}
	r := &list[0]
	w, err := loadWriter(ctx, tx, j.d, r.WriterID)
	if err != nil {
		return nil, nil, err
	}
	if w == nil {
		return nil, nil, fmt.Errorf("%w: its writer is not in the database", ErrTampered)
	}
	c, err := j.checkpointAbove(ctx, tx, w, r.Seq)
	if err != nil {
		return nil, nil, err
	}
	var start tree
	if f, err := lastFrontier(ctx, tx, j.d, r.WriterID); err != nil {
		return nil, nil, err
	} else if f != nil {
		if start, err = treeOf(f.Size, f.Hashes); err != nil {
			return nil, nil, fmt.Errorf("%w: its frontier: %w", ErrTampered, err)
		}
	}
	if r.Seq < start.size {
		return nil, nil, fmt.Errorf("%w: it stands before the beginning of its log", ErrTampered)
	}

	path, wrong := newPathTree(start, r.Seq), error(nil)
	err = selectRaw(ctx, tx, j.bind("SELECT seq, "+j.d.short(valueOf("leaf"))+" FROM file_access_logs WHERE writer_id = ? AND seq >= ? AND seq < ?"+inLogs.and(j.d)+" ORDER BY seq"),
		[]any{r.WriterID, start.size, c.Size}, 2, func(v []any) {
			seq, errSeq := j.d.form().integer(v[0])
			leaf, errLeaf := octets(v[1])
			if err := errors.Join(errSeq, errLeaf); err != nil || seq != path.size || len(leaf) != tlog.HashSize {
				wrong = fmt.Errorf("%w: the log has no entry %d, or no hash for it", ErrTampered, path.size)
			}
			if wrong == nil {
				path.append(tlog.Hash(leaf))
			}
		})
	if err = errors.Join(err, wrong); err != nil {
		return nil, nil, err
	}
	if path.size != c.Size {
		return nil, nil, fmt.Errorf("%w: the log has no entry %d", ErrTampered, path.size)
	}
	p := &Proof{Version: 1, Entry: string(r.canonical(nil)), Index: r.Seq, Checkpoint: c.Note, Certificate: string(w.certificate), Personal: personalOf(r)}
	p.Path, _ = path.proof()

	// What would not convince anybody is not handed out.
	own, _, err := writerVerifier(w.id, w.public)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrTampered, err)
	}
	if _, err := verifyProof(p, []note.Verifier{own}); err != nil {
		return nil, nil, fmt.Errorf("%w: the proof does not hold: %w", ErrTampered, err)
	}
	return p, own, nil
}

func personalOf(r *row) *ProofPersonal {
	if r.salt == nil {
		return nil
	}
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	return &ProofPersonal{
		Salt: hex.EncodeToString(r.salt), UserID: text(r.Actor.UserID), IP: text(r.Actor.IP), UserAgent: text(r.Actor.UserAgent), RequestID: text(r.Actor.RequestID),
	}
}

func (j *Journal) bind(query string) string { return sqlx.Rebind(j.d.bind(), query) }

// checkpointAbove returns the next checkpoint that the writer signed and that
// covers the entry.
func (j *Journal) checkpointAbove(ctx context.Context, tx *sqlx.Tx, w *writerRow, seq int64) (*checkpointRow, error) {
	v, _, err := w.certified(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTampered, err)
	}
	const page = 100
	query := j.bind("SELECT tree_size, " + j.d.short(value{column: "note", limit: maxSigned}) + " FROM file_access_checkpoints WHERE writer_id = ? AND tree_size > ?" +
		inCheckpoints.and(j.d) + " ORDER BY tree_size LIMIT " + strconv.Itoa(page))
	for {
		var list []checkpointRow
		err := selectRaw(ctx, tx, query, []any{w.id, seq}, 2, func(v []any) { list = append(list, readCheckpoint(j.d, w.id, v)) })
		if err != nil {
			return nil, err
		}
		for i := range list {
			if _, err := list[i].open(v); err == nil {
				return &list[i], nil
			}
		}
		if len(list) < page {
			return nil, fmt.Errorf("%w: no checkpoint covers it", ErrTampered)
		}
		seq = list[page-1].Size
	}
}

// readLimit bounds the bytes of the entries that readRows returns.
const readLimit = 256 << 20

// readRows reads whole rows. An entry that is not stored as it was written is an
// error that wraps ErrTampered.
func (j *Journal) readRows(ctx context.Context, tx *sqlx.Tx, where, limit string, args ...any) ([]row, error) {
	rows, err := tx.QueryContext(ctx, j.bind("SELECT "+j.d.columns()+" FROM file_access_logs WHERE "+where+" LIMIT "+limit), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for size := 0; rows.Next(); {
		var v raw
		var r row
		if err := v.scan(rows); err != nil {
			return nil, err
		}
		if err := r.decode(&v, j.d.form()); err != nil {
			return nil, fmt.Errorf("%w: entry %s is not stored as it was written: %w", ErrTampered, v.text(idColumn), err)
		}
		if size += v.bytes(); size > readLimit {
			return nil, fmt.Errorf("%w: more than %d bytes of entries without a checkpoint", ErrTampered, readLimit)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// VerifyProof checks p and returns the entry that it proves. keys are the
// verifier keys that may vouch for the writer, those of the deployment. It
// needs nothing but its arguments. If p has no personal fields, the entry's
// actor has none.
//
// It proves that a writer for which one of keys vouches signed a log with this
// entry in that place. An error wraps [ErrTampered] if that is not so.
func VerifyProof(p *Proof, keys ...string) (audit.Entry, error) {
	var e audit.Entry
	trusted, err := verifiers(keys)
	if err == nil {
		e, err = verifyProof(p, trusted)
	}
	if err != nil {
		return audit.Entry{}, fmt.Errorf("%w: the proof does not hold: %w", ErrTampered, err)
	}
	return e, nil
}

func verifyProof(p *Proof, trusted []note.Verifier) (audit.Entry, error) {
	var none audit.Entry
	if p == nil || p.Version != 1 {
		return none, errors.New("it is not of version 1")
	}
	if len(trusted) == 0 {
		return none, errors.New("no key was given to check it with")
	}
	// Key, certificate, checkpoint, path, entry: each is vouched for by the one
	// before.
	n, err := note.Open([]byte(p.Certificate), note.VerifierList(trusted...))
	if err != nil {
		return none, fmt.Errorf("the certificate is signed by none of the keys: %w", err)
	}
	id, writerKey, err := parseCertificate(n.Text)
	if err != nil {
		return none, fmt.Errorf("the certificate: %w", err)
	}
	text, err := openNote(p.Checkpoint, writerKey)
	if err != nil {
		return none, fmt.Errorf("the checkpoint is not signed by the writer: %w", err)
	}
	writer, size, root, err := parseCheckpoint(text)
	if err != nil || writer != id {
		return none, errors.Join(errors.New("the checkpoint is not one of this writer"), err)
	}
	if err := tlog.CheckRecord(p.Path, size, root, p.Index, tlog.RecordHash([]byte(p.Entry))); err != nil {
		return none, fmt.Errorf("the path does not lead from the entry to the root: %w", err)
	}
	r, err := parseCanonical(p.Entry)
	if err != nil {
		return none, err
	}
	if r.WriterID != id || r.Seq != p.Index {
		return none, errors.New("the entry names another place than it has")
	}
	if p.Personal == nil {
		return r.Entry, nil
	}
	if r.salt, err = hex.DecodeString(p.Personal.Salt); err != nil || len(r.salt) == 0 {
		return none, errors.New("the salt is not in hexadecimal digits")
	}
	for _, f := range []struct {
		dst *string
		src *string
	}{{&r.Actor.UserID, p.Personal.UserID}, {&r.Actor.IP, p.Personal.IP}, {&r.Actor.UserAgent, p.Personal.UserAgent}, {&r.Actor.RequestID, p.Personal.RequestID}} {
		if f.src != nil {
			*f.dst = *f.src
		}
	}
	r.values = valuesOf(&r.Entry)
	if string(r.commit()) != string(r.commitment) {
		return none, errors.New("the personal fields are not those that the entry commits to")
	}
	return r.Entry, nil
}

// parseCertificate returns whom a certificate is for. Its signature was
// checked.
func parseCertificate(text string) (id string, v note.Verifier, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || lines[0] != certificateTitle {
		return "", nil, errors.New("it is not one of a writer")
	}
	id, okWriter := strings.CutPrefix(lines[1], "writer ")
	key, okKey := strings.CutPrefix(lines[2], "key ")
	if !okWriter || !okKey || checkUUID(id) != nil {
		return "", nil, errors.New("it names no writer")
	}
	if v, err = note.NewVerifier(key); err != nil {
		return "", nil, err
	}
	if v.Name() != writerKeyPrefix+id {
		return "", nil, errors.New("its key is another writer's")
	}
	return id, v, nil
}

// parseCanonical reads a canonical form, and nothing that is not one.
func parseCanonical(text string) (*row, error) {
	fail := func(err error) (*row, error) {
		return nil, fmt.Errorf("the entry is not in its canonical form: %w", err)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return fail(err)
	}
	r := new(row)
	var commitment string
	if err := errors.Join(json.Unmarshal(object["schema_version"], &r.schema), json.Unmarshal(object["pii_commitment"], &commitment)); err != nil {
		return fail(err)
	}
	if r.schema != schemaVersion {
		return nil, fmt.Errorf("the entry has version %d: want %d", r.schema, schemaVersion)
	}
	var err error
	if r.commitment, err = hex.DecodeString(commitment); err != nil {
		return fail(err)
	}
	cs := audit.Columns()
	r.values = make([]any, len(cs))
	for i := range cs {
		if text, found := object[cs[i].Name]; found {
			if r.values[i], err = cs[i].ParseJSON(text); err != nil {
				return fail(err)
			}
		}
		if err := cs[i].SetValue(&r.Entry, r.values[i]); err != nil {
			return fail(err)
		}
	}
	// Written again it must be the same, or a reader could see in it what
	// another one does not: a name twice, say.
	if string(r.canonical(nil)) != text {
		return fail(errors.New("it has another encoding or other members"))
	}
	return r, nil
}
