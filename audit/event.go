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

// Action names an operation. The constants are the actions of this library. An
// application may record other actions in the same trail. Their names have 1 to
// 64 characters of a-z, 0-9, '_', '.' and '-'.
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
	ActionRevoke          Action = "revoke"              // a link was revoked
	ActionReconcile       Action = "reconcile"
	ActionScrub           Action = "scrub" // a stored object failed verification
	ActionCheck           Action = "check" // the backend was tested
	ActionErase           Action = "erase" // personal fields were erased
	ActionPurge           Action = "purge" // old entries were exported and removed

	// ActionGap records that entries are missing before it. A journal that
	// acknowledges entries before it stores them could not store some. The
	// attributes entries, from and to contain their number and the first and
	// last of their times.
	ActionGap Action = "gap"

	// Stores pass ActionStat and ActionList to the authorizer. These operations
	// serve no content, so they are recorded only if the authorizer denies
	// them.
	ActionStat Action = "stat"
	ActionList Action = "list"
)

// Outcome is the result of an operation.
type Outcome string

const (
	OutcomeOK      Outcome = "ok"
	OutcomeFailed  Outcome = "failed"
	OutcomeDenied  Outcome = "denied"  // refused by the authorizer or a link constraint
	OutcomeUnknown Outcome = "unknown" // the reconciler could not determine the outcome

	// OutcomeBegun marks the first of the two events that [AsJournal] logs for
	// an operation if the [Logger] cannot store intents.
	OutcomeBegun Outcome = "begun"
)

// Resource is the application's object that a file belongs to, such as
// {"invoice", "42"}.
type Resource struct {
	Type string // at most 64 bytes
	ID   string // at most 255 bytes
}

// Event describes an operation that has happened or is about to happen. The
// zero value of a field means that it is unknown or does not apply.
//
// Text is stored as valid, printable UTF-8. Invalid bytes and control
// characters are escaped, and text longer than the limit of its field is
// truncated. A hostile user agent therefore cannot prevent a record.
type Event struct {
	OpID       string    // UUID of the operation; the logger generates one if empty
	RefOpID    string    // the earlier operation that this one amends or belongs to
	OccurredAt time.Time // from 1970 to 9999, stored in UTC with microseconds; zero means now
	Action     Action
	Outcome    Outcome // Log: empty means OutcomeOK. Begin: must be empty
	Actor      Actor
	Resource   Resource
	Key        string // key of the object; at most 1,024 bytes
	SourceKey  string // copy and move: the key of the source; at most 1,024 bytes
	Backend    string // "local", "s3", "azure", "gcs" or "mem"; at most 32 bytes
	Bucket     string // bucket, container or folder; at most 1,024 bytes

	GrantID     string // links the issue of a link to its uses; at most 64 bytes
	Size        *int64 // in bytes; nil means unknown
	SHA256      []byte // the digest of the content, 32 bytes, or nil
	ContentType string // at most 255 bytes
	ErrorCode   string // a short word for the cause if the outcome is not OK; at most 64 bytes

	// Details are facts that the library itself records.
	Details Details

	// Attrs are additional facts of the application. A name has at most 255
	// bytes and a value at most 2,048; longer ones are truncated. An event with
	// more than 64 pairs or 16 KiB in total is refused. [WithAttrs] adds
	// attributes. Never put a secret or a signed URL here.
	Attrs map[string]string
}

// Result is the outcome of an operation and settles its intent. A field with
// the zero value leaves the field of the event unchanged.
type Result struct {
	Outcome     Outcome // required
	ErrorCode   string
	Size        *int64
	SHA256      []byte
	ContentType string
	GrantID     string
	Committed   bool              // sets Details.Committed of a staged upload
	Attrs       map[string]string // added to Event.Attrs
	SettledBy   SettledBy         // empty means SettledByWriter
}

// SettledBy identifies the party that settled an operation.
type SettledBy string

const (
	SettledByWriter     SettledBy = "writer"     // the process that performed the operation
	SettledByReconciler SettledBy = "reconciler" // another process, after a crash
)

// With returns a copy of e that includes the result r.
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

// Clone returns a copy that shares no memory with e.
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

// Entry is a stored event. Entries never change, except that personal fields
// can be erased.
type Entry struct {
	Event
	ID        string // UUIDv7, generated when the entry is committed; ascends within a writer
	WriterID  string // the writer, whose entries form one log
	Seq       int64  // the position in the writer's log, from 0
	CreatedAt time.Time
	SettledBy SettledBy
}

const (
	maxAttrs      = 64
	maxAttrsBytes = 16 << 10 // enough for all attributes of this library at their limits
	maxAttrName   = 255
	maxAttrValue  = 2048
)

// prepared returns e in the form that every logger stores: with an OpID and
// OccurredAt, with text escaped and truncated to the limits of the fields, and
// with copies of maps and slices. Preparing an event a second time changes
// nothing.
//
// prepared returns an error that wraps [ErrEvent] for values that only a
// programming error can cause. Examples are an OpID that is not a UUID, an
// invalid time, action or outcome, a digest of the wrong length, or too many
// Attrs.
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
		// If two names are equal after cleaning, the lesser value is used. The
		// record therefore does not depend on the order of the map.
		if prior, twice := attrs[k]; !twice || v < prior {
			attrs[k] = v
		}
	}
	if len(e.Attrs) > maxAttrs || total > maxAttrsBytes {
		return e, fmt.Errorf("%w: too many Attrs: %d pairs of %d bytes: want at most %d pairs and %d bytes", ErrEvent, len(e.Attrs), total, maxAttrs, maxAttrsBytes)
	}
	e.Attrs = attrs
	return e, nil
}

// check rejects values that only a programming error can cause.
func (e *Event) check() error {
	switch {
	case !isUUID(e.OpID):
		return fmt.Errorf("%w: OpID %q: want a lowercase UUID", ErrEvent, cleanText(e.OpID, 64))
	case e.RefOpID != "" && !isUUID(e.RefOpID):
		return fmt.Errorf("%w: RefOpID %q: want a lowercase UUID", ErrEvent, cleanText(e.RefOpID, 64))
	case e.OccurredAt.Year() < 1970 || e.OccurredAt.Year() > 9999:
		return fmt.Errorf("%w: OccurredAt %s: want a year from 1970 to 9999", ErrEvent, e.OccurredAt.Format(time.RFC3339))
	case !validAction(e.Action):
		return fmt.Errorf("%w: action %q: want 1 to 64 characters of a-z, 0-9, '_', '.' and '-'", ErrEvent, cleanText(string(e.Action), 80))
	case !validOutcome(e.Outcome):
		return fmt.Errorf("%w: outcome %q: want ok, failed, denied, unknown or begun", ErrEvent, cleanText(string(e.Outcome), 80))
	case e.SHA256 != nil && len(e.SHA256) != 32:
		return fmt.Errorf("%w: SHA256 of %d bytes: want 32 bytes", ErrEvent, len(e.SHA256))
	case e.Size != nil && *e.Size < 0:
		return fmt.Errorf("%w: size %d: want 0 or more", ErrEvent, *e.Size)
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

// cleanText makes s printable and safe to store in every journal. Invalid UTF-8
// becomes \x.., and control and bidirectional characters become \u..... Text
// longer than limit bytes is truncated between characters and ends in "…".
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

// cutTo returns the longest prefix of s that has at most n bytes and ends
// between characters.
func cutTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
