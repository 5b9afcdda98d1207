package storetest

// This file implements the cases of the trail: the entries of each operation,
// and a trail that is unavailable.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/blobstore"
)

// recorded checks the properties common to all entries of a case.
func (e *env) recorded(entry audit.Entry, action audit.Action, outcome audit.Outcome, key string) {
	e.Helper()
	assert.Equal(e, action, entry.Action, "action")
	assert.Equal(e, outcome, entry.Outcome, "outcome")
	assert.Equal(e, key, entry.Key, "key")
	assert.Equal(e, actor, entry.Actor, "actor")
	assert.Equal(e, e.store.Info().Backend, entry.Backend, "backend")
	if e.h.Store == nil {
		assert.Equal(e, e.bucket.Info().Bucket, entry.Bucket, "bucket")
	}
	assert.NotEmpty(e, entry.OpID, "operation")
	assert.WithinDuration(e, time.Now(), entry.OccurredAt, caseTimeout, "time")
	if outcome == audit.OutcomeOK {
		assert.Empty(e, entry.ErrorCode, "error code")
	}
}

func trailCases() []testCase {
	return []testCase{
		{"an upload MUST be recorded once, with its full description", func(e *env) {
			data := content(5000)
			var obj *blobstore.Object
			entry := e.one(func() {
				obj = e.put(e.key("a"), data, &blobstore.UploadOptions{
					Filename: "März.pdf", ContentType: "text/x", Resource: audit.Resource{Type: "invoice", ID: "42"},
				})
			})
			e.recorded(entry, audit.ActionUpload, audit.OutcomeOK, e.key("a"))
			assert.Equal(e, int64(5000), *entry.Size)
			assert.Equal(e, sum(data), entry.SHA256)
			assert.Equal(e, "text/x", entry.ContentType)
			assert.Equal(e, audit.Resource{Type: "invoice", ID: "42"}, entry.Resource)
			assert.Equal(e, "März.pdf", entry.Details.Filename)
			assert.Equal(e, obj.OpID, entry.OpID)
			assert.Equal(e, obj.OpID, e.stat(e.key("a")).OpID)
			assert.Equal(e, audit.SettledByWriter, entry.SettledBy)
			e.settled()
		}},
		{"a download MUST be recorded once, before its first byte", func(e *env) {
			data := content(5000)
			e.put(e.key("a"), data, &blobstore.UploadOptions{SHA256: sum(data), ContentType: "text/x"})
			entry := e.one(func() {
				n := len(e.entries())
				r, err := e.store.Download(audit.WithAttrs(e.ctx, map[string]string{"why": "test"}), e.key("a"), &blobstore.DownloadOptions{
					Resource: audit.Resource{Type: "invoice", ID: "42"},
				})
				require.NoError(e, err)
				assert.Len(e, e.entries(), n+1)
				_, err = io.Copy(io.Discard, r)
				require.NoError(e, err)
				require.NoError(e, r.Close())
			})
			e.recorded(entry, audit.ActionDownload, audit.OutcomeOK, e.key("a"))
			assert.Equal(e, int64(5000), *entry.Size)
			assert.Equal(e, sum(data), entry.SHA256)
			assert.Equal(e, "text/x", entry.ContentType)
			assert.Equal(e, map[string]string{"why": "test"}, entry.Attrs)
			assert.Equal(e, audit.Resource{Type: "invoice", ID: "42"}, entry.Resource)
		}},
		{"a failed download MUST be recorded as failed", func(e *env) {
			entry := e.one(func() {
				_, err := e.store.Download(e.ctx, e.key("a"), nil)
				require.Error(e, err)
			})
			e.recorded(entry, audit.ActionDownload, audit.OutcomeFailed, e.key("a"))
			assert.Equal(e, "not_found", entry.ErrorCode)
		}},
		{"Stat and List MUST NOT be recorded", func(e *env) {
			e.put(e.key("a"), nil, nil)
			added := e.since(func() {
				e.stat(e.key("a"))
				_, err := e.store.Stat(e.ctx, e.key("none"))
				require.ErrorIs(e, err, fs.ErrNotExist)
				e.list(blobstore.ListOptions{})
			})
			assert.Empty(e, added)
		}},
		{"an operation refused by the authorizer MUST be recorded as denied and have no effect", denied},
		{"the authorizer MUST get the event of the operation", func(e *env) {
			var asked []audit.Event
			s := e.open(&blobstore.Options{Authorize: func(_ context.Context, ev audit.Event) error {
				asked = append(asked, ev)
				return nil
			}})
			res := audit.Resource{Type: "invoice", ID: "42"}
			_, err := s.Upload(e.ctx, e.key("a"), strings.NewReader("x"), &blobstore.UploadOptions{Resource: res, ContentType: "text/x"})
			require.NoError(e, err)
			require.NoError(e, s.Move(e.ctx, e.key("b"), e.key("a"), &blobstore.CopyOptions{Resource: res}))
			require.Len(e, asked, 2)
			assert.Equal(e, audit.ActionUpload, asked[0].Action)
			assert.Equal(e, "text/x", asked[0].ContentType)
			assert.Equal(e, audit.ActionMove, asked[1].Action)
			assert.Equal(e, e.key("a"), asked[1].SourceKey)
			for _, ev := range asked {
				assert.Equal(e, actor, ev.Actor)
				assert.Equal(e, res, ev.Resource)
				assert.Equal(e, s.Info().Backend, ev.Backend)
			}
		}},
		{"an operation without an actor MUST be refused and not recorded", func(e *env) {
			e.put(e.key("a"), nil, nil)
			ctx := context.Background()
			added := e.since(func() {
				_, err := e.store.Download(ctx, e.key("a"), nil)
				e.isError(err, "download", e.key("a"), audit.ErrNoActor)
				_, err = e.store.Stat(ctx, e.key("a"))
				e.isError(err, "stat", e.key("a"), audit.ErrNoActor)
				_, err = e.store.Link(ctx, e.key("a"), nil)
				e.isError(err, "link", e.key("a"), audit.ErrNoActor)
				e.isError(e.store.Delete(ctx, e.key("a"), nil), "delete", e.key("a"), audit.ErrNoActor)
				e.isError(e.store.Copy(ctx, e.key("b"), e.key("a"), nil), "copy", e.key("b"), audit.ErrNoActor)
				e.isError(e.store.Move(ctx, e.key("b"), e.key("a"), nil), "move", e.key("b"), audit.ErrNoActor)
				for _, err := range e.store.List(ctx, nil) {
					e.isError(err, "list", "", audit.ErrNoActor)
				}
			})
			assert.Empty(e, added)
			e.has("a")
		}},
		{"the default actor MUST be used if the context has none", func(e *env) {
			s := e.open(&blobstore.Options{DefaultActor: audit.Actor{UserID: "system"}})
			entry := e.one(func() {
				_, err := s.Upload(context.Background(), e.key("a"), strings.NewReader("x"), nil)
				require.NoError(e, err)
			})
			assert.Equal(e, audit.Actor{UserID: "system"}, entry.Actor)
			entry = e.one(func() {
				_, err := s.Upload(e.ctx, e.key("b"), strings.NewReader("x"), nil)
				require.NoError(e, err)
			})
			assert.Equal(e, actor, entry.Actor)
		}},
		{"a plain logger MUST get two events for each operation, begun and ended", func(e *env) {
			log := &plainLogger{}
			s, err := e.tryOpen(audit.AsJournal(log), nil)
			require.NoError(e, err)
			_, err = s.Upload(e.ctx, e.key("a"), strings.NewReader("x"), nil)
			require.NoError(e, err)
			require.Len(e, log.events, 2)
			assert.Equal(e, audit.OutcomeBegun, log.events[0].Outcome)
			assert.Equal(e, audit.OutcomeOK, log.events[1].Outcome)
			assert.Equal(e, log.events[0].OpID, log.events[1].OpID)
		}},
	}
}

type plainLogger struct{ events []audit.Event }

func (l *plainLogger) Log(_ context.Context, e audit.Event) error {
	l.events = append(l.events, e)
	return nil
}

// operation is a call of one kind, for cases that run all kinds.
type operation struct {
	name    string
	action  audit.Action
	key     string // key of the entry, without prefix
	changes bool   // whether it has an intent
	do      func(e *env, s *blobstore.Store) error
	after   []string // the objects after it; before it, "a" and "b" exist
}

func operations() []operation {
	return []operation{
		{"upload", audit.ActionUpload, "new", true, func(e *env, s *blobstore.Store) error {
			_, err := s.Upload(e.ctx, e.key("new"), strings.NewReader("new"), nil)
			return err
		}, []string{"a", "b", "new"}},
		{"copy", audit.ActionCopy, "c", true, func(e *env, s *blobstore.Store) error {
			return s.Copy(e.ctx, e.key("c"), e.key("a"), nil)
		}, []string{"a", "b", "c"}},
		{"move", audit.ActionMove, "c", true, func(e *env, s *blobstore.Store) error {
			return s.Move(e.ctx, e.key("c"), e.key("a"), nil)
		}, []string{"b", "c"}},
		{"delete", audit.ActionDelete, "a", true, func(e *env, s *blobstore.Store) error {
			return s.Delete(e.ctx, e.key("a"), nil)
		}, []string{"b"}},
		{"download", audit.ActionDownload, "a", false, func(e *env, s *blobstore.Store) error {
			r, err := s.Download(e.ctx, e.key("a"), nil)
			if r != nil {
				err = errors.Join(err, r.Close())
			}
			return err
		}, []string{"a", "b"}},
		{"link", audit.ActionIssueLink, "a", false, func(e *env, s *blobstore.Store) error {
			link, err := s.Link(e.ctx, e.key("a"), nil)
			if err != nil {
				assert.Nil(e, link)
			}
			return err
		}, []string{"a", "b"}},
		{"upload link", audit.ActionIssueUploadLink, "a", false, func(e *env, s *blobstore.Store) error {
			_, err := s.Link(e.ctx, e.key("a"), &blobstore.LinkOptions{Method: "PUT", Overwrite: true})
			return err
		}, []string{"a", "b"}},
	}
}

func (e *env) fill() {
	e.Helper()
	e.put(e.key("a"), []byte("content of a"), rich(false))
	e.put(e.key("b"), []byte("content of b"), nil)
}

func denied(e *env) {
	e.fill()
	no := errors.New("not yours")
	s := e.open(&blobstore.Options{Authorize: func(context.Context, audit.Event) error { return no }})
	ops := append(operations(),
		operation{name: "stat", action: audit.ActionStat, key: "a", do: func(e *env, s *blobstore.Store) error {
			_, err := s.Stat(e.ctx, e.key("a"))
			return err
		}},
		operation{name: "list", action: audit.ActionList, do: func(e *env, s *blobstore.Store) error {
			n := 0
			var last error
			for obj, err := range s.List(e.ctx, &blobstore.ListOptions{Prefix: e.prefix}) {
				assert.Nil(e, obj)
				last = err
				n++
			}
			assert.Equal(e, 1, n)
			return last
		}})
	for _, op := range ops {
		entry := e.one(func() {
			err := op.do(e, s)
			require.ErrorIs(e, err, blobstore.ErrDenied, op.name)
			require.ErrorIs(e, err, no, op.name)
		})
		e.recorded(entry, op.action, audit.OutcomeDenied, e.key(op.key))
		assert.Equal(e, "denied", entry.ErrorCode)
	}
	e.has("a", "b")
	e.settled()

	// The error remains a refusal even if it cannot be recorded.
	e.fail(audittest.CallLog, false)
	_, err := s.Download(e.ctx, e.key("a"), nil)
	e.isError(err, "download", e.key("a"), blobstore.ErrDenied, blobstore.ErrAudit)
}

func brokenTrailCases() []testCase {
	var cases []testCase
	for _, op := range operations() {
		if !op.changes {
			cases = append(cases,
				testCase{"a " + op.name + " that can't be recorded MUST be refused", func(e *env) {
					e.fill()
					e.fail(audittest.CallLog, false)
					added := e.since(func() {
						err := op.do(e, e.store)
						require.ErrorIs(e, err, blobstore.ErrAudit)
						require.ErrorIs(e, err, errTrail)
					})
					assert.Empty(e, added)
					e.has("a", "b")
				}},
				testCase{"a " + op.name + " whose record was acknowledged too late MUST be refused", func(e *env) {
					e.fill()
					e.fail(audittest.CallLog, true)
					entry := e.one(func() { require.ErrorIs(e, op.do(e, e.store), blobstore.ErrAudit) })
					e.recorded(entry, op.action, audit.OutcomeOK, e.key(op.key))
				}})
			continue
		}
		cases = append(cases,
			testCase{"a " + op.name + " whose intent can't be recorded MUST NOT happen", func(e *env) {
				e.fill()
				e.fail(audittest.CallBegin, false)
				added := e.since(func() {
					err := op.do(e, e.store)
					require.ErrorIs(e, err, blobstore.ErrAudit)
					require.ErrorIs(e, err, errTrail)
				})
				assert.Empty(e, added)
				e.settled()
				e.has("a", "b")
			}},
			testCase{"a " + op.name + " whose intent was acknowledged too late MUST NOT happen, and be settled as failed", func(e *env) {
				e.fill()
				e.fail(audittest.CallBegin, true)
				require.ErrorIs(e, op.do(e, e.store), blobstore.ErrAudit)
				e.has("a", "b")
				e.eventually(10*time.Millisecond, e.memory.OpenIntents() == 1)
				entry := e.reconciled(blobstore.Reconciled{Failed: 1})
				e.recorded(entry[0], op.action, audit.OutcomeFailed, e.key(op.key))
				assert.Equal(e, "interrupted", entry[0].ErrorCode)
				e.has("a", "b")
			}},
			testCase{"a " + op.name + " that can't be settled MUST be ErrAudit, and be settled as done by the reconciler", func(e *env) {
				e.fill()
				e.fail(audittest.CallSettle, false)
				added := e.since(func() { require.ErrorIs(e, op.do(e, e.store), blobstore.ErrAudit) })
				assert.Empty(e, added)
				e.has(op.after...)
				assert.Equal(e, 1, e.memory.OpenIntents())
				entry := e.reconciled(blobstore.Reconciled{OK: 1})
				e.recorded(entry[0], op.action, audit.OutcomeOK, e.key(op.key))
				assert.NotEmpty(e, entry[0].Size)
				e.has(op.after...)
			}},
			testCase{"a " + op.name + " whose settling was acknowledged too late MUST be ErrAudit and recorded once", func(e *env) {
				e.fill()
				e.fail(audittest.CallSettle, true)
				added := e.since(func() { require.ErrorIs(e, op.do(e, e.store), blobstore.ErrAudit) })
				require.NotEmpty(e, added)
				e.recorded(added[0], op.action, audit.OutcomeOK, e.key(op.key))
				e.settled()
				e.leasesEnd()
				done, err := e.store.Reconcile(e.ctx)
				require.NoError(e, err)
				assert.Zero(e, done)
			}})
	}
	return append(cases, []testCase{
		{"an upload with a link that cannot be settled MUST NOT return the link", func(e *env) {
			e.fail(audittest.CallSettle, false)
			obj, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("x"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
			e.isError(err, "upload", e.key("a"), blobstore.ErrAudit)
			assert.Nil(e, obj)
			e.reconciled(blobstore.Reconciled{OK: 1})
		}},
		{"a failed upload that cannot be settled MUST return both errors, and the reconciler MUST settle it as failed", func(e *env) {
			e.fail(audittest.CallSettle, false)
			_, err := e.store.Upload(e.ctx, e.key("a"), &failing{100, errReader}, nil)
			e.isError(err, "upload", e.key("a"), blobstore.ErrAudit, errReader)
			entry := e.reconciled(blobstore.Reconciled{Failed: 1})
			assert.Equal(e, audit.OutcomeFailed, entry[0].Outcome)
			e.has()
		}},
		{"an upload through a link whose use cannot be recorded MUST have no effect", func(e *env) {
			l := e.linker()
			red, _ := l.redeem(http.MethodPut, e.key("a"))
			e.fail(audittest.CallLog, false)
			added := e.since(func() {
				_, err := red.Upload(e.ctx, strings.NewReader("x"), nil)
				e.isError(err, "upload", e.key("a"), blobstore.ErrAudit)
			})
			assert.Empty(e, added)
			e.settled()
			e.has()
		}},
		{"an error MUST NOT contain a secret", func(e *env) {
			e.fill()
			signer := e.signer()
			s := e.open(&blobstore.Options{Signer: signer})
			link, err := s.Link(e.ctx, e.key("a"), nil)
			require.NoError(e, err)
			for _, call := range []audittest.Call{audittest.CallLog, audittest.CallBegin, audittest.CallSettle} {
				e.trail.Add(audittest.Fault{Call: call, Err: errTrail})
			}
			for _, op := range operations() {
				if err := op.do(e, s); assert.Error(e, err) {
					e.noSecret(link, fmt.Sprintf("%v %+v %#v", err, err, err))
				}
			}
			e.trail.Clear()
			e.leasesEnd()
			_, err = s.Reconcile(e.ctx)
			require.NoError(e, err)
			_, err = s.Upload(e.ctx, e.key("z"), &failing{100, errReader}, &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
			e.noSecret(link, err.Error())
			assert.NotContains(e, err.Error(), "files.example")
		}},
	}...)
}
