package storetest

// This file implements the cases of the store as a whole: opening, closing, and
// many concurrent callers.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

func storeCases() []testCase {
	return []testCase{
		{"a store without a journal MUST be refused", func(e *env) {
			_, err := e.tryOpen(nil, nil)
			e.isError(err, "open", "")
			assert.Contains(e, err.Error(), "audit.Discard")
		}},
		{"a closed store MUST refuse every operation and record nothing", func(e *env) {
			e.fill()
			s := e.store
			require.NoError(e, s.Close(context.Background()))
			added := e.since(func() {
				for _, op := range operations() {
					require.ErrorIs(e, op.do(e, s), blobstore.ErrClosed, op.name)
				}
				_, err := s.Stat(e.ctx, e.key("a"))
				e.isError(err, "stat", e.key("a"), blobstore.ErrClosed)
				for _, err := range s.List(e.ctx, nil) {
					e.isError(err, "list", "", blobstore.ErrClosed)
				}
				_, err = s.Reconcile(e.ctx)
				e.isError(err, "reconcile", "", blobstore.ErrClosed)
				e.isError(s.Close(context.Background()), "close", "", blobstore.ErrClosed)
			})
			assert.Empty(e, added)
		}},
		{"closing MUST wait for running operations", func(e *env) {
			started, finish := make(chan struct{}), make(chan struct{})
			done, closed := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := e.store.Upload(e.ctx, e.key("a"), &waiting{started: started, finish: finish}, nil)
				done <- err
			}()
			<-started
			go func() { closed <- e.store.Close(context.Background()) }()
			require.Eventually(e, func() bool {
				_, err := e.store.Stat(e.ctx, e.key("a"))
				return errors.Is(err, blobstore.ErrClosed)
			}, caseTimeout, 1e6, "nothing new is let in")
			select {
			case <-closed:
				e.Fatal("it did not wait")
			default:
			}
			close(finish)
			require.NoError(e, <-done)
			require.NoError(e, <-closed)
			e.settled()
		}},
		{"the Info of a bucket MUST be constant and complete", func(e *env) {
			info := e.bucket.Info()
			assert.NotEmpty(e, info.Backend)
			assert.Equal(e, info, e.bucket.Info())
			assert.Equal(e, e.can(), e.store.Info().Capabilities)
		}},
		{"with audit.Discard every operation MUST work and none be recorded", func(e *env) {
			s, err := e.tryOpen(audit.Discard, nil)
			require.NoError(e, err)
			_, err = s.Upload(e.ctx, e.key("a"), strings.NewReader("x"), nil)
			require.NoError(e, err)
			require.NoError(e, s.Move(e.ctx, e.key("b"), e.key("a"), nil))
			require.NoError(e, s.Delete(e.ctx, e.key("b"), nil))
			assert.Empty(e, e.entries())
			e.has()
		}},
		{"an operation within the authorizer MUST work", func(e *env) {
			var s *blobstore.Store
			s = e.open(&blobstore.Options{Authorize: func(ctx context.Context, ev audit.Event) error {
				if ev.Action == audit.ActionStat {
					return nil
				}
				_, err := s.Stat(ctx, e.key("allowed"))
				return err
			}})
			_, err := s.Upload(e.ctx, e.key("a"), strings.NewReader("x"), nil)
			e.isError(err, "upload", e.key("a"), blobstore.ErrDenied)
			e.put(e.key("allowed"), nil, nil)
			_, err = s.Upload(e.ctx, e.key("a"), strings.NewReader("x"), nil)
			require.NoError(e, err)
		}},
	}
}

func (e *env) recordedBucket() string {
	if e.h.Store != nil {
		return ""
	}
	return e.bucket.Info().Bucket
}

// damageDigest replaces the digest stored with an object by a malformed one.
func (e *env) damageDigest(key string) {
	e.Helper()
	require.NoError(e, e.bucket.Write(e.ctx, key, bytes.NewReader(nil), &driver.WriteOptions{
		Size: -1, ContentType: "text/plain", Metadata: map[string]string{provider.MetaSHA256: "not a digest"},
	}))
}

// inParallel calls do for 0 to n-1, with at most 16 concurrent calls.
func inParallel(e *env, n int, do func(i int)) {
	e.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 16 {
		wg.Go(func() {
			for i := range next {
				if !e.Failed() {
					do(i)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func crowdCases() []testCase {
	return []testCase{{"concurrent callers MUST NOT affect one another, and the trail MUST be complete", func(e *env) {
		const callers, rounds = 64, 3
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for round := range rounds {
					if err := e.mixed(fmt.Sprintf("%02d/%d", i, round), content(1000*i%7919)); err != nil {
						e.Errorf("caller %d: %v", i, err)
						return
					}
				}
			})
		}
		wg.Wait()
		require.False(e, e.Failed())
		e.has()
		e.settled()

		counts := map[audit.Action]int{}
		ops := map[string]bool{}
		for _, entry := range e.entries() {
			assert.Equal(e, audit.OutcomeOK, entry.Outcome)
			assert.False(e, ops[entry.OpID], "operation %s twice", entry.OpID)
			ops[entry.OpID] = true
			counts[entry.Action]++
		}
		const n = callers * rounds
		assert.Equal(e, map[audit.Action]int{
			audit.ActionUpload: 2 * n, audit.ActionDownload: n, audit.ActionCopy: n, audit.ActionMove: n,
			audit.ActionDelete:    3 * n, // one of them by the move
			audit.ActionIssueLink: 2 * n,
		}, counts)
	}}}
}

// mixed performs each operation once, with keys unique to the call.
func (e *env) mixed(name string, data []byte) error {
	key, second, third := e.key(name+"-a"), e.key(name+"-b"), e.key(name+"-c")
	if _, err := e.store.Upload(e.ctx, key, bytes.NewReader(data), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}}); err != nil {
		return err
	}
	if _, err := e.store.Upload(e.ctx, key, bytes.NewReader(data), &blobstore.UploadOptions{Overwrite: true}); err != nil {
		return err
	}
	if err := e.store.Copy(e.ctx, second, key, nil); err != nil {
		return err
	}
	if err := e.store.Move(e.ctx, third, second, nil); err != nil {
		return err
	}
	r, err := e.store.Download(e.ctx, third, nil)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("%s: other content", third)
	}
	if _, err := e.store.Link(e.ctx, key, nil); err != nil {
		return err
	}
	n := 0
	for _, err := range e.store.List(e.ctx, &blobstore.ListOptions{Prefix: e.key(name + "-")}) {
		if err != nil {
			return err
		}
		n++
	}
	if n != 2 {
		return fmt.Errorf("%s: %d objects listed", name, n)
	}
	if err := e.store.Delete(e.ctx, key, nil); err != nil {
		return err
	}
	return e.store.Delete(e.ctx, third, nil)
}
