package integration

// This file tests the trail while a service fails. Every operation must end in
// time, and its final record must state the real outcome, regardless of the
// caller's result.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// posing is a bucket under the name of another one, with the same location.
type posing struct {
	driver.Bucket
	info driver.Info
}

func (p posing) Info() driver.Info { return p.info }

// misfortune makes a service fail. Unless everything fails, it affects only
// requests that change something.
type misfortune struct {
	name string
	set  func(f *faulty)
}

func misfortunes() []misfortune {
	const forever = 1 << 30
	changes := func(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }
	any := func(*http.Request) bool { return true }
	// on returns a fault: do handles the matching requests from the first to
	// the last.
	on := func(match func(*http.Request) bool, first, last int32, do func(f *faulty, w http.ResponseWriter, r *http.Request)) func(f *faulty) {
		return func(f *faulty) {
			var count atomic.Int32
			f.set(func(w http.ResponseWriter, r *http.Request) bool {
				if !match(r) {
					return false
				}
				if n := count.Add(1); n < first || n > last {
					return false
				}
				do(f, w, r)
				return true
			})
		}
	}
	status := func(code int) func(*faulty, http.ResponseWriter, *http.Request) {
		return func(_ *faulty, w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(code)
		}
	}
	before := func(_ *faulty, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cut(w)
	}
	after := func(f *faulty, w http.ResponseWriter, r *http.Request) {
		f.next.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		cut(w)
	}
	half := func(f *faulty, w http.ResponseWriter, r *http.Request) {
		f.next.ServeHTTP(&cutting{ResponseWriter: w, left: 20}, r)
	}
	hang := func(_ *faulty, _ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	return []misfortune{
		{"answers 500 three times", on(any, 1, 3, status(500))},
		{"answers 503 three times", on(any, 1, 3, status(503))},
		{"answers 503 to every change", on(changes, 1, forever, status(503))},
		{"cuts off the first change", on(changes, 1, 1, before)},
		{"cuts off every change", on(changes, 1, forever, before)},
		{"loses the answer to the first change", on(changes, 1, 1, after)},
		{"loses the answer to the second change", on(changes, 2, 2, after)},
		{"loses the answer to the third change", on(changes, 3, 3, after)},
		{"loses the answer to every change", on(changes, 1, forever, after)},
		{"cuts off every answer to a change", on(changes, 1, forever, half)},
		{"hangs at every change", on(changes, 1, forever, hang)},
		{"hangs", on(any, 1, forever, hang)},
		{"is down", func(f *faulty) { f.CloseClientConnections(); _ = f.Listener.Close() }},
	}
}

// TestTrailTellsTheTruth takes several minutes of waiting for a service, but
// little processor time.
func TestTrailTellsTheTruth(t *testing.T) {
	small, large := content(1000), content(9<<20)
	upload := func(data []byte) func(ctx context.Context, s *blobstore.Store) error {
		return func(ctx context.Context, s *blobstore.Store) error {
			_, err := s.Upload(ctx, "new", bytes.NewReader(data), nil)
			return err
		}
	}
	for _, op := range []struct {
		name   string
		action audit.Action
		do     func(ctx context.Context, s *blobstore.Store) error
		before map[string][]byte
		after  map[string][]byte
	}{
		{"upload", audit.ActionUpload, upload(small), map[string][]byte{}, map[string][]byte{"new": small}},
		{"large upload", audit.ActionUpload, upload(large), map[string][]byte{}, map[string][]byte{"new": large}},
		{"delete", audit.ActionDelete, func(ctx context.Context, s *blobstore.Store) error { return s.Delete(ctx, "old", nil) },
			map[string][]byte{"old": small}, map[string][]byte{}},
		{"move", audit.ActionMove, func(ctx context.Context, s *blobstore.Store) error { return s.Move(ctx, "new", "old", nil) },
			map[string][]byte{"old": small}, map[string][]byte{"new": small}},
	} {
		for _, m := range misfortunes() {
			for name, open := range throughFaults {
				t.Run(op.name+" when the service "+m.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					direct, b, f := open(t)
					ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "u"})
					for key, data := range op.before {
						require.NoError(t, write(ctx, direct, key, data, -1, true))
					}
					var ahead atomic.Int64
					trail := &audit.Memory{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
					store, err := blobstore.New(b, trail, &blobstore.Options{Timeout: 3 * time.Second, Lease: time.Hour})
					require.NoError(t, err)

					m.set(f)
					begun := time.Now()
					told := op.do(ctx, store)
					took := time.Since(begun)
					f.fault.Store(nil)
					t.Logf("told after %v: %v", took.Round(time.Millisecond), told)
					assert.Less(t, took, time.Minute) // about 10 s on an idle machine
					assert.Equal(t, errors.Is(told, blobstore.ErrInDoubt), trail.OpenIntents() == 1, "what is not known is left to the reconciler, and nothing else")
					open := trail.OpenIntents() == 1
					if open {
						ahead.Store(int64(2 * time.Hour)) // its lease has expired
						later, err := blobstore.New(posing{direct, b.Info()}, trail, &blobstore.Options{Lease: time.Hour})
						require.NoError(t, err)
						_, err = later.Reconcile(ctx)
						require.NoError(t, err)
						require.Zero(t, trail.OpenIntents())
					}
					stands := objects(t, direct, "old", "new")
					switch outcome := recordedOutcome(t, trail, op.action); outcome {
					case audit.OutcomeOK:
						assert.True(t, open || told == nil, "recorded as done, but told %v", told)
						assert.Equal(t, op.after, stands, "recorded as done")
					case audit.OutcomeFailed:
						assert.Error(t, told)
						assert.Equal(t, op.before, stands, "recorded as failed, told %v", told)
					default:
						assert.Fail(t, "outcome", "%s: %s", outcome, describe(stands))
					}
					if strings.HasPrefix(name, "s3") && told == nil {
						require.Eventually(t, func() bool { return len(uploads(t, direct)) == 0 }, time.Minute, 100*time.Millisecond,
							"a multipart upload that nobody knows is swept when it is stale")
					}
				})
			}
		}
	}
}

func objects(t *testing.T, b driver.Bucket, keys ...string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for _, key := range keys {
		r, err := b.Read(context.WithoutCancel(t.Context()), key, 0, -1)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		found[key] = data
	}
	return found
}

func describe(found map[string][]byte) (s string) {
	for key, data := range found {
		s += fmt.Sprintf("%s has %d bytes; ", key, len(data))
	}
	return s
}

// recordedOutcome returns the outcome of the only entry of an action.
func recordedOutcome(t *testing.T, trail *audit.Memory, action audit.Action) audit.Outcome {
	t.Helper()
	var found []audit.Outcome
	for e, err := range trail.Entries(context.Background(), audit.Query{}) {
		require.NoError(t, err)
		if e.Action == action && e.RefOpID == "" {
			found = append(found, e.Outcome)
		}
	}
	require.Len(t, found, 1, "recorded exactly once")
	return found[0]
}
