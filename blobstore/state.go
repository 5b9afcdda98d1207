package blobstore

import (
	"context"
	"time"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
)

// This file decides how to go on when an effect may have happened already: a
// request failed but may have been carried out, a process died, or another process
// took the operation over. The state is what the bucket holds under the key and what
// the trail says of the operation. next is a pure table of it.

// presence is what the bucket holds under the key of an operation.
type presence uint8

const (
	unseen  presence = iota // the backend doesn't say
	absent                  // no object
	own                     // the object that the operation wrote
	meant                   // the version that the operation was to remove
	older                   // another object, from before the operation began
	foreign                 // another object, perhaps from after it began
	presences
)

// standing is what the trail says of an operation.
type standing uint8

const (
	ours        standing = iota // the intent is held by this process
	elsewhere                   // the intent is held by another process
	unread                      // the trail can't be read now
	unasked                     // the journal is no audit.Reader
	missing                     // neither open nor settled: the intent was removed from the database
	saidOK                      // settled as ok
	saidFailed                  // settled as failed
	saidUnknown                 // settled as unknown
	standings
)

// state is the state of an operation whose effect may have happened.
type state struct {
	object presence
	record standing
}

// question is the point at which the state decides how to go on.
type question uint8

const (
	wantedWrite       question = iota // a write failed whose whole content was sent
	unwantedWrite                     // a write failed whose object must not stay
	failedDelete                      // a deletion failed
	failedAccept                      // a copy of received bytes failed
	vanishedAccept                    // a copy of received bytes failed because they are gone
	ticketArrived                     // a ticket may have become an object before
	ownRemoved                        // the operation's object must not stay
	interruptedWrite                  // a process died that wrote
	interruptedDelete                 // a process died that deleted
	interruptedSource                 // a process died that moved, after the copy
	failedMove                        // the source of a move stays; the copy replaced nothing
	failedOverwrite                   // the source of a move stays; the copy replaced an object
	refusedOverwrite                  // as failedOverwrite, and the service refuses to delete the source
	lostWrite                         // a write succeeded whose intent was taken over
	lostUndo                          // a write was undone whose intent was taken over
	lostDelete                        // a deletion succeeded whose intent was taken over
	lostRequest                       // a request that ends a ticket was overtaken
	questions
)

// step is how to go on.
type step uint8

const (
	leave        step = iota // nothing is certain: leave the intent open
	done                     // the effect happened
	failed                   // it did not, and nothing is left of it
	unknown                  // nobody can find out any more
	takeBack                 // the operation's object exists and must be removed
	replaced                 // another object took the place of the one that was meant
	again                    // what was judged is gone: judge once more
	wait                     // nothing happened: the ticket stays good
	taken                    // the key is another object's
	copied                   // the source stays and so does the copy: the move has become a copy
	contradicted             // the bucket is not as this process left it
	amend                    // the trail gets the truth as a second entry
	amendUnknown             // the trail gets a second entry, which says unknown
	over                     // the ticket ended without an object
	busy                     // another request is ending the ticket
)

// row is the steps for each presence.
type row [presences]step

// table has the steps of each question. A standing without a row, and a presence
// without a step, is one that the question is never asked with: leave it.
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

	// If another process holds a move, that one finishes it when it sees the copy.
	failedMove:       {ours: {own: takeBack}, elsewhere: {own: amend}},
	failedOverwrite:  {elsewhere: {own: amend}},
	refusedOverwrite: {ours: {own: copied}, elsewhere: {own: amend}},

	// Another process settled the operation by what it saw, which may have been
	// before the effect. Nothing is said that can't be seen now.
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
	// After a deletion that succeeded another object may be there: an entry that
	// says ok now would read as if that one were gone.
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

// next returns how to go on from a state.
func next(q question, at state) step { return table[q][at.record][at.object] }

// subject is the operation for which a key is looked at.
type subject struct {
	key   string
	opID  string    // of the object that the operation writes; empty: it writes none
	begun time.Time // zero: the age of another object says nothing

	removes bool // the operation removes the version etag
	etag    string
}

// written returns the subject of an operation that writes its key.
func written(e audit.Event) subject {
	return subject{key: e.Key, opID: e.OpID, begun: e.OccurredAt}
}

// removed returns the subject of an operation that removes a version of key.
func removed(key, etag string) subject { return subject{key: key, removes: true, etag: etag} }

// presence classifies the object under the subject's key, which is nil if there is
// none.
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

// look asks the bucket about a subject. The error explains unseen.
func (s *Store) look(ctx context.Context, o subject) (presence, *blob.Attributes, error) {
	a, err := s.attributes(ctx, o.key)
	if err != nil {
		return unseen, nil, err
	}
	return o.presence(a), a, nil
}

// ask asks the journal about an operation that this process does not hold. The
// error explains unread.
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
