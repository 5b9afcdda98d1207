package blobstore

// These tests cover concurrent requests that end the same ticket, in one
// process and in several.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/signurl"
)

// endings checks that the ticket has ended, and that bucket and trail agree
// about its end.
func (d *direct) endings(t *testing.T, tk *Ticket) (ok bool) {
	t.Helper()
	*d.clock = d.clock.Add(2 * time.Hour) // leases of released intents and dead processes expire
	for range 2 {
		_, err := d.Reconcile(d.ctx)
		require.NoError(t, err)
	}
	require.Zero(t, d.trail.OpenIntents())
	settled, oks, last := 0, 0, audit.Outcome("")
	for e, err := range d.trail.Entries(d.ctx, audit.Query{OpID: tk.ID, Actions: []audit.Action{audit.ActionUpload}}) {
		require.NoError(t, err)
		if e.GrantID == tk.ID {
			continue // an attempt to upload
		}
		if last = e.Outcome; e.OpID == tk.ID {
			settled++
		}
		if e.Outcome == audit.OutcomeOK {
			oks++
		}
	}
	require.Equal(t, 1, settled, "one settlement")
	require.LessOrEqual(t, oks, 1, "one entry says ok")
	obj, err := d.Stat(d.ctx, tk.Key)
	if err != nil {
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NotEqual(t, audit.OutcomeOK, last, "the trail says ok, and there is no object")
		require.Empty(t, d.objects(t))
		return false
	}
	require.Equal(t, tk.ID, obj.OpID)
	require.Equal(t, audit.OutcomeOK, last, "there is an object, and the trail does not say so")
	require.Equal(t, []string{tk.Key}, d.objects(t))
	return true
}

// A second request runs completely at one step of a completion.
func TestTicketEndedAtOnce(t *testing.T) {
	const pdf = "%PDF-1.7 direct"
	others := map[string]func(t *testing.T, d *direct, tk *Ticket) error{
		"complete": func(_ *testing.T, d *direct, tk *Ticket) error { _, err := d.complete(tk); return err },
		"complete twice": func(_ *testing.T, d *direct, tk *Ticket) error {
			_, first := d.complete(tk)
			_, second := d.complete(tk)
			return errors.Join(first, second)
		},
		"abort": func(_ *testing.T, d *direct, tk *Ticket) error { return d.Ticket(tk.Key, tk.ID).Abort(d.ctx) },
		"reconcile": func(_ *testing.T, d *direct, _ *Ticket) error {
			*d.clock = d.clock.Add(3 * time.Hour)
			_, err := d.Reconcile(d.ctx)
			return err
		},
		"send again": func(t *testing.T, d *direct, tk *Ticket) error {
			err := d.put(tk, "application/pdf", pdf+" of another length")
			if errors.Is(err, fs.ErrExist) || errors.Is(err, signurl.ErrRevoked) { // the handler refuses before it reads the content
				err = nil
			}
			return err
		},
		"send something bad": func(t *testing.T, d *direct, tk *Ticket) error {
			_ = d.put(tk, "application/pdf", "<!DOCTYPE html>") // the handler refuses this type
			_, _ = d.complete(tk)
			return nil
		},
		"claim and die": func(_ *testing.T, d *direct, tk *Ticket) error {
			_, err := d.trail.Claim(d.ctx, tk.ID, 0, nil)
			return err
		},
	}
	for _, service := range []bool{true, false} {
		for _, step := range []string{"read", "copy", "landing", "copied", "renew", "settle"} {
			for name, other := range others {
				t.Run(fmt.Sprintf("service=%v/%s/%s", service, step, name), func(t *testing.T) {
					d := newDirect(t, service)
					tk, err := d.BeginUpload(d.ctx, "a/b.pdf", time.Hour, &UploadOptions{AllowedTypes: []string{"application/pdf"}})
					require.NoError(t, err)
					require.NoError(t, d.put(tk, "application/pdf", pdf))
					came := false
					var otherErr error
					at := func(s string) {
						if s == step && !came {
							came = true
							otherErr = other(t, d, tk)
						}
					}
					bucket := d.bucket.(*signingBucket)
					bucket.between = func(s, _ string) { at(s) }
					if step == "landing" {
						bucket.landing = func() { at("landing") }
					}
					bucket.copied = func(string, *driver.CopyOptions) { at("copied") }
					faults := audittest.NewFaults(d.trail)
					for s, call := range map[string]audittest.Call{"renew": audittest.CallRenew, "settle": audittest.CallSettle} {
						faults.Add(audittest.Fault{Call: call, Match: func(audit.Event) bool { at(s); return false }})
					}
					mine, err := New(d.bucket, faults, &d.opts)
					require.NoError(t, err)
					obj, err := mine.Ticket(tk.Key, tk.ID).Complete(d.ctx)
					require.True(t, came)
					stands := d.endings(t, tk)
					switch {
					case err == nil:
						require.Equal(t, tk.ID, obj.OpID)
						require.True(t, stands, "it was acknowledged")
					default:
						require.True(t, errors.Is(err, ErrBusy) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrContentType) || errors.Is(err, ErrReplaced), "%v", err)
					}
					switch name {
					case "complete", "complete twice":
						require.NoError(t, otherErr, "one of them gets the object")
						require.NoError(t, err, "and so does the other")
					case "abort":
						require.Equal(t, otherErr == nil, !stands, "an upload that was aborted is none: %v", otherErr)
					case "send again":
						require.NoError(t, otherErr)
						require.NoError(t, err)
					}
				})
			}
		}
	}
}

// These concurrent completions resemble a double click.
func TestTicketCompletedByManyAtOnce(t *testing.T) {
	for _, service := range []bool{true, false} {
		for round := range 20 {
			d := newDirect(t, service)
			tk, err := d.BeginUpload(d.ctx, "a", time.Hour, nil)
			require.NoError(t, err)
			require.NoError(t, d.put(tk, "text/plain", "content"))
			other, err := New(d.bucket, d.trail, &d.opts)
			require.NoError(t, err)
			var wg sync.WaitGroup
			got := make([]error, 6)
			for i := range got {
				s := []*Store{d.Store, other}[i%2]
				wg.Go(func() {
					if i == 5 && round%2 == 1 {
						got[i] = s.Ticket(tk.Key, tk.ID).Abort(d.ctx)
						return
					}
					_, got[i] = s.Ticket(tk.Key, tk.ID).Complete(d.ctx)
				})
			}
			wg.Wait()
			for _, err := range got {
				if err != nil && round%2 == 0 {
					require.ErrorIs(t, err, ErrBusy)
				}
			}
			if round%2 == 0 {
				_, err = d.complete(tk) // like a client after ErrBusy
				require.NoError(t, err)
				require.True(t, d.endings(t, tk))
				continue
			}
			require.Equal(t, got[5] == nil, !d.endings(t, tk) && got[5] == nil)
		}
	}
}

// A completion loses the ticket, and its process dies. Its object appears only
// after the other request has looked for it.
func TestTicketWhoseObjectLandsLate(t *testing.T) {
	for name, end := range map[string]func(d *direct, tk *Ticket) error{
		"aborted":  func(d *direct, tk *Ticket) error { return d.Ticket(tk.Key, tk.ID).Abort(d.ctx) },
		"rejected": func(d *direct, tk *Ticket) error { _, err := d.complete(tk); return err },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirect(t, true)
			tk, err := d.BeginUpload(d.ctx, "a", time.Hour, &UploadOptions{MaxSize: 10})
			require.NoError(t, err)
			require.NoError(t, d.put(tk, "text/plain", "content"))
			bucket := d.bucket.(*signingBucket)
			bucket.deleted = func(string) { // the first call of the other request after it settles the ticket
				bucket.deleted = nil
				require.NoError(t, bucket.Write(d.ctx, tk.Key, strings.NewReader("content"), &driver.WriteOptions{
					IfNotExist: true, ContentType: "text/plain", Metadata: map[string]string{provider.MetaOp: tk.ID},
				}))
			}
			if name == "rejected" {
				require.NoError(t, d.put(tk, "text/plain", "much longer content"))
				require.ErrorIs(t, end(d, tk), ErrTooLarge)
			} else {
				require.NoError(t, end(d, tk))
			}
			require.Nil(t, bucket.deleted)
			require.False(t, d.endings(t, tk))
		})
	}
}

// If the client of a completion disconnects, the ticket remains open or is
// complete. The completion of another request is not undone.
func TestTicketWhoseClientGoesAway(t *testing.T) {
	for _, step := range []string{"copy", "copied"} {
		for _, completed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, completed=%v", step, completed), func(t *testing.T) {
				d := newDirect(t, true)
				tk, err := d.BeginUpload(d.ctx, "a", time.Hour, nil)
				require.NoError(t, err)
				require.NoError(t, d.put(tk, "text/plain", "content"))
				ctx, cancel := context.WithCancel(d.ctx)
				came := false
				at := func(s string) {
					if s != step || came {
						return
					}
					came = true
					if completed {
						_, err := d.complete(tk)
						require.NoError(t, err)
					}
					cancel()
				}
				bucket := d.bucket.(*signingBucket)
				bucket.between = func(s, _ string) { at(s) }
				bucket.copied = func(string, *driver.CopyOptions) { at("copied") }
				_, _ = d.Ticket(tk.Key, tk.ID).Complete(ctx)
				require.True(t, came)
				_, err = d.complete(tk)
				require.NoError(t, err)
				require.True(t, d.endings(t, tk))
			})
		}
	}
}
