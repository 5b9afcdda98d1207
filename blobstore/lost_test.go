package blobstore

// These tests cover operations taken over by another process: their entries in
// the trail and the error of their caller.

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// outcomes returns action and outcome of the entries about a key.
func (p *paused) outcomes(t *testing.T, key string) (got []string) {
	t.Helper()
	for e, err := range p.trail.Entries(p.ctx, audit.Query{Key: key}) {
		require.NoError(t, err)
		got = append(got, string(e.Action)+" "+string(e.Outcome))
	}
	return got
}

func TestCommitOfALostUpload(t *testing.T) {
	lost := func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, ErrAudit)
		require.ErrorIs(t, err, audit.ErrNotHeld)
	}
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, p *paused, st *Staged)
		want      func(t *testing.T, err error)
		entries   []string
	}{
		"removed by the reconciler": {
			func(t *testing.T, p *paused, _ *Staged) { require.Equal(t, Reconciled{Failed: 1}, p.stopped(t)) },
			lost, []string{"upload failed"},
		},
		"removed, and another upload has the key": {
			func(t *testing.T, p *paused, _ *Staged) { p.stopped(t); p.put(t, p.other, "a", "another") },
			lost, []string{"upload failed", "upload ok"},
		},
		"taken over by a process that has not settled it": {
			func(t *testing.T, p *paused, st *Staged) {
				_, err := p.trail.Claim(p.ctx, st.intent.OpID(), 0, nil)
				require.NoError(t, err)
			},
			lost, nil,
		},
		"settled as stored": {
			func(t *testing.T, p *paused, st *Staged) {
				in, err := p.trail.Claim(p.ctx, st.intent.OpID(), 0, nil)
				require.NoError(t, err)
				require.NoError(t, in.Settle(p.ctx, audit.Result{Outcome: audit.OutcomeOK, SettledBy: audit.SettledByReconciler}))
			},
			func(t *testing.T, err error) { require.NoError(t, err) }, []string{"upload ok"},
		},
		"settled as failed before the object was seen": {
			func(t *testing.T, p *paused, st *Staged) {
				in, err := p.trail.Claim(p.ctx, st.intent.OpID(), 0, nil)
				require.NoError(t, err)
				require.NoError(t, in.Settle(p.ctx, audit.Result{Outcome: audit.OutcomeFailed, SettledBy: audit.SettledByReconciler}))
			},
			func(t *testing.T, err error) { require.NoError(t, err) }, []string{"upload failed", "upload ok"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPaused(t)
			st, err := p.Stage(p.ctx, "a", strings.NewReader("staged"), nil)
			require.NoError(t, err)
			c.meanwhile(t, p, st)
			c.want(t, st.Commit(p.ctx))
			require.Equal(t, c.entries, p.outcomes(t, "a"))
			if name == "settled as failed before the object was seen" {
				require.Equal(t, Reconciled{}, p.stopped(t), "what is committed is not late")
				require.Equal(t, "staged", p.get(t, "a"))
			}
		})
	}
}

// The effect is gone when the suspended process continues.
func TestLostOperationWhoseEffectIsGone(t *testing.T) {
	for name, c := range map[string]struct {
		op, key string // the process is suspended after this step
		do      func(p *paused) error
		undo    func(t *testing.T, p *paused)
		about   string
		entries []string
	}{
		"upload": {
			"write", "b", func(p *paused) error { _, err := p.Upload(p.ctx, "b", strings.NewReader("x"), nil); return err },
			func(t *testing.T, p *paused) { require.NoError(t, p.other.Delete(p.ctx, "b", nil)) }, "b", []string{"upload ok", "delete ok"},
		},
		"upload, replaced": {
			"write", "b", func(p *paused) error { _, err := p.Upload(p.ctx, "b", strings.NewReader("x"), nil); return err },
			func(t *testing.T, p *paused) { p.put(t, p.other, "b", "another") }, "b", []string{"upload ok", "upload ok"},
		},
		"copy": {
			"copy", "b", func(p *paused) error { return p.Copy(p.ctx, "b", "a", nil) },
			func(t *testing.T, p *paused) { require.NoError(t, p.other.Delete(p.ctx, "b", nil)) }, "b", []string{"copy ok", "delete ok"},
		},
		"move": {
			"delete", "a", func(p *paused) error { return p.Move(p.ctx, "b", "a", nil) },
			func(t *testing.T, p *paused) { require.NoError(t, p.other.Delete(p.ctx, "b", nil)) }, "b", []string{"move ok", "delete ok"},
		},
		"delete, and uploaded again": {
			"delete", "a", func(p *paused) error { return p.Delete(p.ctx, "a", nil) },
			func(t *testing.T, p *paused) { p.put(t, p.other, "a", "new") }, "a", []string{"upload ok", "delete ok", "upload ok"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPaused(t)
			p.put(t, p.Store, "a", "content")
			p.bucket.after = func(op, key string) error {
				if op == c.op && key == c.key {
					c.op = ""
					p.stopped(t)
					c.undo(t, p)
				}
				return nil
			}
			err := c.do(p)
			require.Equal(t, c.entries, p.outcomes(t, c.about))
			if err != nil {
				require.ErrorIs(t, err, ErrAudit)
				require.ErrorIs(t, err, audit.ErrNotHeld)
			}
			p.agrees(t, "a", "b")
		})
	}
}

// A deletion was delayed until it had been settled as failed and the key had a
// new object. Its entry must not suggest that the new object was deleted.
func TestLostDeletionBeforeAnotherUpload(t *testing.T) {
	p := newPaused(t)
	p.put(t, p.Store, "a", "content")
	p.bucket.before = func(op, key string) error {
		if op == "delete" {
			p.bucket.before = nil
			require.Equal(t, Reconciled{Failed: 1}, p.stopped(t))
		}
		return nil
	}
	p.bucket.after = func(op, _ string) error {
		if op == "delete" {
			p.bucket.after = nil
			p.put(t, p.other, "a", "another")
		}
		return nil
	}
	err := p.Delete(p.ctx, "a", nil)
	require.ErrorIs(t, err, ErrAudit)
	require.ErrorIs(t, err, audit.ErrNotHeld)
	require.Equal(t, []string{"upload ok", "delete failed", "upload ok", "delete unknown"}, p.outcomes(t, "a"))
	p.agrees(t, "a")
}

// Deletions are refused because of missing permissions or a lock.
func (p *paused) locked() {
	p.bucket.before = func(op, key string) error {
		if op == "delete" {
			return &fs.PathError{Op: "delete", Path: key, Err: fs.ErrPermission}
		}
		return nil
	}
}

func TestMoveWhereDeletionIsRefused(t *testing.T) {
	for _, overwrite := range []bool{false, true} {
		p := newPaused(t)
		p.put(t, p.Store, "a", "content")
		if overwrite {
			p.put(t, p.Store, "b", "old")
		}
		n := len(p.outcomes(t, "b"))
		p.locked()
		err := p.Move(p.ctx, "b", "a", &CopyOptions{Overwrite: overwrite})
		require.ErrorIs(t, err, fs.ErrPermission)
		require.NotErrorIs(t, err, ErrInDoubt)
		require.Equal(t, "content", p.get(t, "a"))
		require.Equal(t, "content", p.get(t, "b"))
		require.Equal(t, []string{"move failed", "copy ok", "download ok"}, p.outcomes(t, "b")[n:])
		p.agrees(t, "a", "b")
	}
}

// The reconciler settles a move that it cannot complete.
func TestReconcileOfAMoveWhereDeletionIsRefused(t *testing.T) {
	p := newPaused(t)
	p.put(t, p.Store, "a", "content")
	down := errors.New("the process dies")
	p.bucket.before = func(op, key string) error {
		if op == "delete" {
			return down
		}
		return nil
	}
	require.ErrorIs(t, p.Move(p.ctx, "b", "a", nil), ErrInDoubt)
	p.locked()
	p.other = p.Store
	require.Equal(t, Reconciled{Failed: 1}, p.stopped(t))
	require.Equal(t, Reconciled{}, p.stopped(t), "it is said once")
	require.Equal(t, []string{"move failed", "copy ok"}, p.outcomes(t, "b"))
	require.Equal(t, []string{"upload ok"}, p.outcomes(t, "a"))
	p.agrees(t, "a", "b")
}

func TestDiscardWhereDeletionIsRefused(t *testing.T) {
	for name, discard := range map[string]func(t *testing.T, p *paused, st *Staged){
		"by its process": func(t *testing.T, p *paused, st *Staged) {
			err := st.Discard(p.ctx)
			require.ErrorIs(t, err, fs.ErrPermission)
			require.NotErrorIs(t, err, ErrInDoubt)
		},
		"by the reconciler": func(t *testing.T, p *paused, st *Staged) {
			st.Leave()
			p.other = p.Store
			require.Equal(t, Reconciled{OK: 1}, p.stopped(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPaused(t)
			st, err := p.Stage(p.ctx, "a", strings.NewReader("staged"), nil)
			require.NoError(t, err)
			p.locked()
			discard(t, p, st)
			require.Equal(t, []string{"upload ok"}, p.outcomes(t, "a"))
			for e, err := range p.trail.Entries(p.ctx, audit.Query{Key: "a"}) {
				require.NoError(t, err)
				require.True(t, e.Details.Staged && !e.Details.Committed, "it was never committed")
			}
			p.agrees(t, "a")
		})
	}
}
