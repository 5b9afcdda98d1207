package blobstore

import (
	"context"
	"time"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
)

// This file implements the decisions about operations that may already have
// taken effect: the request failed but may have been carried out, the process
// died, or another process took the operation over. A state combines the object
// under the key with the operation's record in the trail. The function next
// looks up the step for a state in a table.

// presence classifies the object under the key of an operation.
type presence uint8

const (
	unseen  presence = iota // the backend did not respond
	absent                  // no object
	own                     // the object written by the operation
	meant                   // the version that the operation removes
	older                   // another object, older than the operation
	foreign                 // another object, possibly newer than the operation
	presences
)

// standing is the status of an operation according to the trail.
type standing uint8

const (
	ours        standing = iota // this process holds the intent
	elsewhere                   // another process holds the intent
	unread                      // the trail is unavailable
	unasked                     // the journal does not implement audit.Reader
	missing                     // neither open nor settled: the intent was deleted from the database
	saidOK                      // settled as ok
	saidFailed                  // settled as failed
	saidUnknown                 // settled as unknown
	standings
)

// state is the state of an operation that may have taken effect.
type state struct {
	object presence
	record standing
}

// question identifies the situation in which the state is evaluated.
type question uint8

const (
	wantedWrite       question = iota // a write failed after all content was sent
	unwantedWrite                     // a write failed, and its object must not remain
	failedDelete                      // a deletion failed
	failedAccept                      // a copy of uploaded content failed
	vanishedAccept                    // a copy failed because the uploaded content no longer exists
	ticketArrived                     // a ticket may already have become an object
	ownRemoved                        // the operation's object must not remain
	interruptedWrite                  // a process died during a write
	interruptedDelete                 // a process died during a deletion
	interruptedSource                 // a process died during a move, after the copy
	failedMove                        // the source of a move remains; the copy replaced nothing
	failedOverwrite                   // the source of a move remains; the copy replaced an object
	refusedOverwrite                  // like failedOverwrite, and the service refuses to delete the source
	lostWrite                         // a write succeeded, but its intent was taken over
	lostUndo                          // a write was undone, but its intent was taken over
	lostDelete                        // a deletion succeeded, but its intent was taken over
	lostRequest                       // a request that ends a ticket lost it to another request
	questions
)

// step is the action to take in a state.
type step uint8

const (
	leave        step = iota // undetermined: leave the intent open
	done                     // the effect happened
	failed                   // the operation had no effect and left nothing
	unknown                  // the outcome cannot be determined any more
	takeBack                 // the operation's object exists and must be removed
	replaced                 // another object replaced the expected one
	again                    // the checked content was removed: check again
	wait                     // no effect: the ticket remains valid
	taken                    // another object exists under the key
	copied                   // both source and copy remain: the move has become a copy
	contradicted             // the bucket differs from the result of this process
	amend                    // append a second entry with the actual outcome
	amendUnknown             // append a second entry with outcome unknown
	over                     // the ticket ended without an object
	busy                     // another request is ending the ticket
)

// row has a step for each presence.
type row [presences]step

// table maps each question, standing and presence to a step. The step of a
// combination that is not listed is leave. The code does not ask the question in
// such a state.
var table = [questions][standings]row{
	wantedWrite:       {ours: {absent: failed, own: done, older: failed, foreign: failed}},
	unwantedWrite:     {ours: {absent: failed, own: takeBack, older: failed, foreign: failed}},
	failedDelete:      {ours: {absent: done, meant: failed, foreign: replaced}},
	failedAccept:      {ours: {absent: wait, own: done, older: taken, foreign: taken}},
	vanishedAccept:    {ours: {absent: again, own: done, older: taken, foreign: taken}},
	ticketArrived:     {ours: {absent: wait, own: done, older: wait, foreign: wait}},
	ownRemoved:        {ours: {absent: done, own: takeBack, older: done, foreign: done}},
	interruptedWrite:  {ours: {absent: failed, own: done, older: failed, foreign: unknown}},
	interruptedDelete: {ours: {absent: done, meant: failed, foreign: unknown}},
	interruptedSource: {ours: {absent: done, meant: takeBack, foreign: done}},

	// If another process holds the intent of a move, that process completes the
	// move when it finds the copy.
	failedMove:       {ours: {own: takeBack}, elsewhere: {own: amend}},
	failedOverwrite:  {elsewhere: {own: amend}},
	refusedOverwrite: {ours: {own: copied}, elsewhere: {own: amend}},

	// Another process settled the operation, possibly before the effect. Record
	// only facts visible in the bucket now.
	lostWrite: {
		elsewhere:   {absent: contradicted, older: contradicted, foreign: contradicted},
		unasked:     {absent: contradicted, own: amend, older: contradicted, foreign: contradicted},
		missing:     {absent: contradicted, own: amend, older: contradicted, foreign: contradicted},
		saidOK:      {absent: contradicted, own: done, older: contradicted, foreign: contradicted},
		saidFailed:  {absent: contradicted, own: amend, older: contradicted, foreign: contradicted},
		saidUnknown: {absent: contradicted, own: amend, older: contradicted, foreign: contradicted},
	},
	lostUndo: {
		elsewhere:   {own: contradicted},
		unasked:     {absent: amend, own: contradicted, older: amend, foreign: amend},
		missing:     {absent: amend, own: contradicted, older: amend, foreign: amend},
		saidOK:      {absent: amend, own: contradicted, older: amend, foreign: amend},
		saidFailed:  {absent: done, own: contradicted, older: done, foreign: done},
		saidUnknown: {absent: amend, own: contradicted, older: amend, foreign: amend},
	},
	// Another object may exist after a successful deletion. An entry with
	// outcome ok appended now would suggest that this object was deleted.
	lostDelete: {
		unasked:     {absent: amend, meant: amendUnknown, foreign: amendUnknown},
		missing:     {absent: amend, meant: amendUnknown, foreign: amendUnknown},
		saidOK:      {absent: done, meant: done, foreign: done},
		saidFailed:  {absent: amend, meant: amendUnknown, foreign: amendUnknown},
		saidUnknown: {absent: amend, meant: amendUnknown, foreign: amendUnknown},
	},
	lostRequest: {
		elsewhere:   {unseen: busy, absent: busy, own: busy, older: busy, foreign: busy},
		unasked:     {absent: over, own: amend, older: over, foreign: over},
		missing:     {absent: over, own: amend, older: over, foreign: over},
		saidOK:      {absent: over, own: done, older: over, foreign: over},
		saidFailed:  {absent: over, own: takeBack, older: over, foreign: over},
		saidUnknown: {absent: over, own: takeBack, older: over, foreign: over},
	},
}

// next returns the step for a state.
func next(q question, at state) step { return table[q][at.record][at.object] }

// subject describes an operation for a lookup of its key.
type subject struct {
	key   string
	opID  string    // of the object written by the operation; empty if it writes none
	begun time.Time // zero if the age of another object is irrelevant

	removes bool // whether the operation removes the version etag
	etag    string
}

// written returns the subject of an operation that writes its key.
func written(e audit.Event) subject {
	return subject{key: e.Key, opID: e.OpID, begun: e.OccurredAt}
}

// removed returns the subject of an operation that removes a version of key.
func removed(key, etag string) subject { return subject{key: key, removes: true, etag: etag} }

// presence classifies the object under the subject's key. a is nil if the
// object does not exist.
func (o subject) presence(a *blob.Attributes) presence {
	switch {
	case a == nil:
		return absent
	case o.removes && a.ETag == o.etag:
		return meant
	case o.removes:
		return foreign
	case isOwn(a, o.opID):
		return own
	case !o.begun.IsZero() && writtenBefore(a, o.begun):
		return older
	}
	return foreign
}

// look classifies the object under the key of a subject. The error is the
// reason for unseen.
func (s *Store) look(ctx context.Context, o subject) (presence, *blob.Attributes, error) {
	a, err := s.attributes(ctx, o.key)
	if err != nil {
		return unseen, nil, err
	}
	return o.presence(a), a, nil
}

// ask returns the status of an operation whose intent this process does not
// hold. The error is the reason for unread.
func (s *Store) ask(ctx context.Context, e audit.Event) (standing, error) {
	_, open, err := s.peek(ctx, e.OpID, nil)
	if err != nil {
		return unread, err
	}
	if open {
		return elsewhere, nil
	}
	end, known, err := s.endOf(ctx, e)
	switch {
	case err != nil:
		return unread, err
	case !known:
		return unasked, nil
	case end == "":
		return missing, nil
	case end == audit.OutcomeOK:
		return saidOK, nil
	case end == audit.OutcomeFailed:
		return saidFailed, nil
	}
	return saidUnknown, nil
}
