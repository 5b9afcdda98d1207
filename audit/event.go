package audit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Action says what was done. The constants are the library's own; a host may
// record actions of its own in the same trail: 1 to 64 characters of a-z, 0-9,
// '_', '.' and '-'.
type Action string

const (
	ActionUpload          Action = "upload"
	ActionDownload        Action = "download"
	ActionDelete          Action = "delete"
	ActionCopy            Action = "copy"
	ActionMove            Action = "move"
	ActionIssueLink       Action = "generate_url"        // a link to read or delete was issued
	ActionIssueUploadLink Action = "generate_upload_url" // a link to write was issued
	ActionRedeem          Action = "redeem"              // a link was used
	ActionRevoke          Action = "revoke"              // a link was withdrawn
	ActionReconcile       Action = "reconcile"
	ActionScrub           Action = "scrub" // a stored object was found to be not what it should be
	ActionCheck           Action = "check" // the backend was tried out
	ActionErase           Action = "erase" // a person's fields were erased
	ActionPurge           Action = "purge" // old entries were exported and removed

	// ActionGap records that entries are missing before it: a journal that
	// acknowledges entries before it stores them could not store some. Its
	// attributes entries, from and to hold their number and their first and last
	// time.
	ActionGap Action = "gap"

	// ActionStat and ActionList are asked of an authoriser; since no content
	// is served they are recorded only when they are denied.
	ActionStat Action = "stat"
	ActionList Action = "list"
)

// Outcome says how an operation ended.
type Outcome string

const (
	OutcomeOK      Outcome = "ok"
	OutcomeFailed  Outcome = "failed"
	OutcomeDenied  Outcome = "denied"  // the authoriser, or a link's constraint, refused it
	OutcomeUnknown Outcome = "unknown" // the reconciler could not find out

	// OutcomeBegun marks the first of the two events that an operation leaves
	// in a [Logger] which cannot hold intents; see [AsJournal].
	OutcomeBegun Outcome = "begun"
)

// Resource is the host's own thing that a file belongs to, such as
// {"invoice", "42"}.
type Resource struct {
	Type string // at most 64 bytes
	ID   string // at most 255 bytes
}

// Event is what is about to happen or happened. The zero value of a field means
// that it is not known or does not apply.
//
// Text is stored as valid, printable UTF-8: invalid bytes and control
// characters are escaped, and what exceeds the limit named at the field is cut,
// so that a hostile user agent can never make a record impossible.
type Event struct {
	OpID       string    // the operation's UUID; empty: the logger generates one
	RefOpID    string    // the earlier operation that this one amends or belongs to
	OccurredAt time.Time // kept in UTC with microseconds, from 1970 to 9999; zero: now
	Action     Action
	Outcome    Outcome // Log: empty means OutcomeOK. Begin: must be empty
	Actor      Actor
	Resource   Resource
	Key        string // the object's key, at most 1,024 bytes
	SourceKey  string // copy and move: the key that was read, at most 1,024 bytes
	Backend    string // "local", "s3", "azure", "gcs", "mem"; at most 32 bytes
	Bucket     string // bucket, container or folder, at most 1,024 bytes

	GrantID     string // joins the issue of a link with its uses, at most 64 bytes
	Size        *int64 // bytes; nil: unknown
	SHA256      []byte // 32 bytes of the content's digest, or nil
	ContentType string // at most 255 bytes
	ErrorCode   string // why it did not end OK, as a short word; at most 64 bytes

	// Details are the facts that the library records itself.
	Details Details

	// Attrs are further facts of the application. A name has at most 255 bytes
	// and a value 2,048; longer ones are truncated. More than 64 pairs or 16 KiB
	// in all are refused. [WithAttrs] adds to them. Never put a secret or a signed
	// URL here.
	Attrs map[string]string
}

// Result is how an operation ended, to settle its intent with. The zero value
// of a field keeps what the event already said.
type Result struct {
	Outcome     Outcome // required
	ErrorCode   string
	Size        *int64
	SHA256      []byte
	ContentType string
	GrantID     string
	Committed   bool              // sets Details.Committed of a staged upload
	Attrs       map[string]string // added to the event's
	SettledBy   SettledBy         // empty means SettledByWriter
}

// SettledBy says who settled an operation.
type SettledBy string

const (
	SettledByWriter     SettledBy = "writer"     // the process that did it
	SettledByReconciler SettledBy = "reconciler" // somebody else, after a crash
)

// With returns the event that settles e with r.
func (e Event) With(r Result) Event {
	e.Outcome = r.Outcome
	if r.ErrorCode != "" {
		e.ErrorCode = r.ErrorCode
	}
	if r.Size != nil {
		e.Size = r.Size
	}
	if r.SHA256 != nil {
		e.SHA256 = r.SHA256
	}
	if r.ContentType != "" {
		e.ContentType = r.ContentType
	}
	if r.GrantID != "" {
		e.GrantID = r.GrantID
	}
	if r.Committed {
		e.Details.Staged, e.Details.Committed = true, true
	}
	if len(r.Attrs) > 0 {
		e.Attrs = merged(e.Attrs, r.Attrs)
	}
	return e
}

// Clone returns a copy that shares nothing with e.
func (e Event) Clone() Event {
	if e.Size != nil {
		e.Size = new(*e.Size)
	}
	e.SHA256, e.Attrs = bytes.Clone(e.SHA256), maps.Clone(e.Attrs)
	if e.Details.MaxSize != nil {
		e.Details.MaxSize = new(*e.Details.MaxSize)
	}
	e.Details.AllowedTypes = slices.Clone(e.Details.AllowedTypes)
	return e
}

// Entry is an event as stored. Entries never change, but for the erasure of a
// person's fields.
type Entry struct {
	Event
	ID        string // UUIDv7, minted when the entry is committed; ascending within a writer
	WriterID  string // the append stream that holds it
	Seq       int64  // its place in that stream, from 0
	CreatedAt time.Time
	SettledBy SettledBy
}

const (
	maxAttrs      = 64
	maxAttrsBytes = 16 << 10 // room for all that this library writes, at its limits
	maxAttrName   = 255
	maxAttrValue  = 2048
)

// prepared returns e as every logger stores it: with an OpID and OccurredAt, its
// text escaped and truncated to the limits of the fields, its maps and slices
// copied. Preparing an event twice changes nothing more. Values that only a
// programming error can cause (an OpID that is not a UUID, an impossible time,
// action or outcome, a digest of the wrong length, too many Attrs) are refused
// with an error that wraps [ErrEvent].
func (e Event) prepared() (Event, error) {
	if e.OpID == "" {
		e.OpID = newUUIDv7()
	}
	if e.OccurredAt.IsZero() {
		e.OccurredAt = time.Now()
	}
	e.OccurredAt = e.OccurredAt.UTC().Truncate(time.Microsecond)

	if err := e.check(); err != nil {
		return e, err
	}
	e.Actor = Actor{
		UserID:    cleanText(e.Actor.UserID, 255),
		TenantID:  cleanText(e.Actor.TenantID, 255),
		IP:        cleanText(e.Actor.IP, 64),
		UserAgent: cleanText(e.Actor.UserAgent, 512),
		RequestID: cleanText(e.Actor.RequestID, 255),
	}
	e.Resource = Resource{Type: cleanText(e.Resource.Type, 64), ID: cleanText(e.Resource.ID, 255)}
	e.Key, e.SourceKey = cleanText(e.Key, 1024), cleanText(e.SourceKey, 1024)
	e.Details = e.Details.clean()
	e.Backend = cleanText(e.Backend, 32)
	e.Bucket = cleanText(e.Bucket, 1024)
	e.GrantID = cleanText(e.GrantID, 64)
	e.ContentType = cleanText(e.ContentType, 255)
	e.ErrorCode = cleanText(e.ErrorCode, 64)
	if e.Size != nil {
		e.Size = new(*e.Size)
	}
	e.SHA256 = bytes.Clone(e.SHA256)

	if len(e.Attrs) == 0 {
		e.Attrs = nil
		return e, nil
	}
	attrs, total := make(map[string]string, len(e.Attrs)), 0
	for name, value := range e.Attrs {
		k, v := cleanText(name, maxAttrName), cleanText(value, maxAttrValue)
		total += len(k) + len(v)
		// Of two names that are the same once they are clean the lesser value
		// stays, so that an event has one record, not one for each order.
		if prior, twice := attrs[k]; !twice || v < prior {
			attrs[k] = v
		}
	}
	if len(e.Attrs) > maxAttrs || total > maxAttrsBytes {
		return e, fmt.Errorf("%w: %d Attrs of %d bytes: at most %d of %d", ErrEvent, len(e.Attrs), total, maxAttrs, maxAttrsBytes)
	}
	e.Attrs = attrs
	return e, nil
}

// check refuses what only a programming error can cause.
func (e *Event) check() error {
	switch {
	case !isUUID(e.OpID):
		return fmt.Errorf("%w: OpID %q is not a lower-case UUID", ErrEvent, cleanText(e.OpID, 64))
	case e.RefOpID != "" && !isUUID(e.RefOpID):
		return fmt.Errorf("%w: RefOpID %q is not a lower-case UUID", ErrEvent, cleanText(e.RefOpID, 64))
	case e.OccurredAt.Year() < 1970 || e.OccurredAt.Year() > 9999:
		return fmt.Errorf("%w: OccurredAt %s: want a year from 1970 to 9999", ErrEvent, e.OccurredAt.Format(time.RFC3339))
	case !validAction(e.Action):
		return fmt.Errorf("%w: action %q: want 1 to 64 characters of a-z, 0-9, '_', '.' and '-'", ErrEvent, cleanText(string(e.Action), 80))
	case !validOutcome(e.Outcome):
		return fmt.Errorf("%w: outcome %q: want ok, failed, denied, unknown or begun", ErrEvent, cleanText(string(e.Outcome), 80))
	case e.SHA256 != nil && len(e.SHA256) != 32:
		return fmt.Errorf("%w: SHA256 has %d bytes: want 32", ErrEvent, len(e.SHA256))
	case e.Size != nil && *e.Size < 0:
		return fmt.Errorf("%w: size %d is negative", ErrEvent, *e.Size)
	}
	return nil
}

func validAction(a Action) bool {
	return len(a) >= 1 && len(a) <= 64 && strings.Trim(string(a), "abcdefghijklmnopqrstuvwxyz0123456789_.-") == ""
}

func validOutcome(o Outcome) bool {
	switch o {
	case "", OutcomeOK, OutcomeFailed, OutcomeDenied, OutcomeUnknown, OutcomeBegun:
		return true
	}
	return false
}

// cleanText makes s storable everywhere and readable by a person: invalid
// UTF-8, control and bidirectional characters become \x.. or \u...., and what
// is longer than limit bytes is cut between characters and ends in "…".
func cleanText(s string, limit int) string {
	ok := len(s) <= limit
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] >= 0x20 && s[i] < 0x7f // the common case: short, printable ASCII
	}
	if ok {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		var piece string
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			piece = fmt.Sprintf(`\x%02x`, s[i])
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029':
			piece = fmt.Sprintf(`\u%04x`, r)
		default:
			piece = string(r)
		}
		if b.Len()+len(piece) > limit {
			return cutTo(b.String(), limit-len("…")) + "…"
		}
		b.WriteString(piece)
	}
	return b.String()
}

// cutTo returns the longest prefix of s of at most n bytes that ends between
// characters.
func cutTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
