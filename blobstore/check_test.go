package blobstore_test

// These tests cover the error of each step of Check. The errors of real
// services are covered in internal/integration.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// checked is a bucket that can fail in each step.
type checked struct {
	hooked
	fails map[string]error
	link  string // returned by Sign; empty if it cannot sign
}

func (b *checked) Info() driver.Info {
	info := b.hooked.Info()
	info.Needs = map[string]string{"write": "the W", "read": "the R", "list": "the L", "sweep": "the S", "sign": "the K", "delete": "the D"}
	if b.link != "" {
		info.Capabilities.Links.Methods = []string{http.MethodGet}
	}
	return info
}

func (b *checked) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	if err := b.fails["write"]; err != nil {
		return err
	}
	return b.hooked.Write(ctx, key, r, o)
}

func (b *checked) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	if err := b.fails["read"]; err != nil {
		return nil, err
	}
	return b.hooked.Read(ctx, key, offset, length)
}

func (b *checked) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	if err := b.fails["list"]; err != nil {
		return func(yield func(*blob.ListObject, error) bool) { yield(nil, err) }
	}
	return b.hooked.List(ctx, o)
}

func (b *checked) Sweep(context.Context, string) error { return b.fails["sweep"] }

func (b *checked) Sign(context.Context, string, *driver.SignOptions) (*driver.SignedURL, error) {
	return &driver.SignedURL{URL: b.link, Method: http.MethodGet}, b.fails["sign"]
}

func (b *checked) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	if err := b.fails["delete"]; err != nil {
		return err
	}
	return b.hooked.Delete(ctx, key, o)
}

func newChecked(t *testing.T) (*checked, *audit.Memory, *blobstore.Store) {
	t.Helper()
	b, trail := &checked{hooked: hooked{Bucket: memstore.New()}, fails: map[string]error{}}, &audit.Memory{}
	store, err := blobstore.New(b, trail, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	return b, trail, store
}

func TestCheckNamesTheStep(t *testing.T) {
	const secret = "X-Signature=deadbeefdeadbeef"
	for step, need := range map[string]string{"write": "the W", "read": "the R", "list": "the L", "sweep": "the S", "sign": "the K", "delete": "the D"} {
		t.Run(step, func(t *testing.T) {
			b, trail, store := newChecked(t)
			if step == "sign" {
				b.link = "http://127.0.0.1:1/k?" + secret
			}
			b.fails[step] = provider.As(fs.ErrPermission, errors.New("AccessDenied"))
			err := store.Check(t.Context())
			require.ErrorIs(t, err, fs.ErrPermission)
			var ce *blobstore.CheckError
			require.ErrorAs(t, err, &ce)
			require.Equal(t, step, ce.Step)
			require.ErrorContains(t, err, "they need "+need)
			require.ErrorContains(t, err, "AccessDenied")
			require.Equal(t, step == "delete", errors.Is(err, blobstore.ErrInDoubt))

			list := func() (keys []string) {
				for o, err := range b.Bucket.List(t.Context(), &blob.ListOptions{}) {
					require.NoError(t, err)
					keys = append(keys, o.Key)
				}
				return keys
			}
			if step == "delete" {
				require.Len(t, list(), 1)
				require.Equal(t, 1, trail.OpenIntents(), "the reconciler must know of it")
				delete(b.fails, step)
				trail.Now = func() time.Time { return time.Now().Add(time.Hour) } // its lease has run out
				n, err := store.Reconcile(t.Context())
				require.NoError(t, err)
				require.Equal(t, blobstore.Reconciled{Failed: 1}, n)
			}
			require.Empty(t, list())
			require.Zero(t, trail.OpenIntents())
			for e, err := range trail.Entries(t.Context(), audit.Query{}) {
				require.NoError(t, err)
				require.Equal(t, audit.ActionCheck, e.Action)
				require.Equal(t, audit.OutcomeFailed, e.Outcome)
			}
		})
	}
}

// An error number of the file system implements net.Error, but is not a network
// error.
func TestCheckNamesTheFileSystemsFault(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.ENOSPC: "the disk is full", syscall.EDQUOT: "quota", syscall.EROFS: "read-only", syscall.EMFILE: "too many open files",
		syscall.ENFILE: "too many open files", syscall.EIO: "input/output error", syscall.ESTALE: "network file system",
		syscall.EACCES: "permission denied", syscall.EPERM: "permission denied", syscall.EFBIG: "the file system failed",
	} {
		for step := range map[string]bool{"write": true, "read": true, "list": true, "delete": true} {
			b, _, store := newChecked(t)
			b.fails[step] = &fs.PathError{Op: "open", Path: "x", Err: errno}
			err := store.Check(t.Context())
			var ce *blobstore.CheckError
			require.ErrorAs(t, err, &ce)
			require.Equal(t, step, ce.Step)
			require.Contains(t, ce.Advice, want, "%v", errno)
			require.NotContains(t, err.Error(), "check the address and the network")
		}
	}
	for _, err := range []error{
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		&url.Error{Op: "Get", URL: "http://x", Err: io.EOF},
		&net.DNSError{Err: "no such host", Name: "x"},
	} {
		b, _, store := newChecked(t)
		b.fails["write"] = fmt.Errorf("the service: %w", err)
		require.ErrorContains(t, store.Check(t.Context()), "check the address and the network")
	}
}

// Repeated readiness probes must not leave an object and an intent each time.
func TestCheckLeavesOneObjectAtMost(t *testing.T) {
	refused := provider.As(fs.ErrPermission, errors.New("AccessDenied"))
	objects := func(b *checked) (n int) {
		for _, err := range b.Bucket.List(t.Context(), &blob.ListOptions{}) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	outcomes := func(trail *audit.Memory) (all []string) {
		for e, err := range trail.Entries(t.Context(), audit.Query{Actions: []audit.Action{audit.ActionCheck}}) {
			require.NoError(t, err)
			all = append(all, string(e.Outcome)+" "+e.ErrorCode)
		}
		return all
	}
	t.Run("while deleting is refused", func(t *testing.T) {
		b, trail, store := newChecked(t)
		b.fails["delete"] = refused
		for range 3 {
			err := store.Check(t.Context())
			var ce *blobstore.CheckError
			require.ErrorAs(t, err, &ce)
			require.Equal(t, "delete", ce.Step)
			require.ErrorContains(t, err, "they need the D")
			require.ErrorIs(t, err, fs.ErrPermission)
			require.ErrorIs(t, err, blobstore.ErrInDoubt)
			require.Equal(t, 1, objects(b))
			require.Equal(t, 1, trail.OpenIntents())
		}
		require.Equal(t, []string{"failed permission", "failed permission"}, outcomes(trail), "each is recorded; the first is open")
		delete(b.fails, "delete")
		require.NoError(t, store.Check(t.Context()))
		require.Zero(t, objects(b))
		require.Zero(t, trail.OpenIntents())
		require.Equal(t, []string{"failed interrupted", "ok "}, outcomes(trail)[2:])
	})
	t.Run("while every request fails", func(t *testing.T) {
		b, trail, store := newChecked(t)
		b.fails["write"], b.fails["delete"] = errBackend, errBackend
		for range 3 {
			require.ErrorIs(t, store.Check(t.Context()), errBackend)
			require.Equal(t, 1, trail.OpenIntents())
		}
		clear(b.fails)
		require.NoError(t, store.Check(t.Context()))
		require.Zero(t, trail.OpenIntents())
	})
	t.Run("when the reconciler was there first", func(t *testing.T) {
		b, trail, store := newChecked(t)
		b.fails["delete"] = refused
		require.ErrorIs(t, store.Check(t.Context()), refused)
		delete(b.fails, "delete")
		trail.Now = func() time.Time { return time.Now().Add(time.Hour) } // its lease has run out
		n, err := store.Reconcile(t.Context())
		require.NoError(t, err)
		require.Equal(t, blobstore.Reconciled{Failed: 1}, n)
		require.NoError(t, store.Check(t.Context()))
		require.Equal(t, []string{"failed interrupted", "ok "}, outcomes(trail))
	})
	t.Run("while the trail holds no intents", func(t *testing.T) {
		b, trail := &checked{hooked: hooked{Bucket: memstore.New()}, fails: map[string]error{"delete": refused}}, &audit.Memory{}
		store, err := blobstore.New(b, audit.AsJournal(struct{ audit.Logger }{trail}), nil)
		require.NoError(t, err)
		defer store.Close(context.Background())
		for range 3 {
			require.ErrorIs(t, store.Check(t.Context()), refused)
			require.Equal(t, 1, objects(b))
		}
		clear(b.fails)
		require.NoError(t, store.Check(t.Context()))
		require.Zero(t, objects(b))
		require.Equal(t, []string{"begun ", "failed permission", "failed permission", "failed interrupted", "begun ", "ok "}, outcomes(trail))
	})
	t.Run("when the trail is unavailable", func(t *testing.T) {
		b, trail, store := newChecked(t)
		b.fails["delete"] = refused
		require.ErrorIs(t, store.Check(t.Context()), refused)
		delete(b.fails, "delete")
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // makes the trail fail
		var ce *blobstore.CheckError
		require.ErrorAs(t, store.Check(ctx), &ce)
		require.Equal(t, "trail", ce.Step)
		require.Equal(t, 1, trail.OpenIntents())
		require.NoError(t, store.Check(t.Context()), "it is not forgotten")
		require.Zero(t, trail.OpenIntents())
	})
}

func TestCheckFetchesTheLink(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(w http.ResponseWriter, content []byte)
		want   []string // parts of the error; none if the check succeeds
	}{
		{"right", func(w http.ResponseWriter, content []byte) { _, _ = w.Write(content) }, nil},
		{"other content", func(w http.ResponseWriter, _ []byte) { _, _ = w.Write([]byte("<html>Please log in</html>")) }, []string{"different content"}},
		{"refused", func(w http.ResponseWriter, _ []byte) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<Error><Code>SignatureDoesNotMatch</Code></Error>")
		}, []string{"403 SignatureDoesNotMatch", "proxy"}},
		{"another time", func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Date", time.Now().Add(-2*time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusForbidden)
		}, []string{"403", "clock", "2h"}},
		{"gone", func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNotFound) }, []string{"404"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, trail, store := newChecked(t)
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var content []byte
				for o, err := range b.Bucket.List(r.Context(), &blob.ListOptions{}) {
					if err == nil {
						content, _ = b.Bucket.Blob().ReadAll(r.Context(), o.Key)
					}
				}
				tt.answer(w, content)
			}))
			defer service.Close()
			b.link = service.URL + "/k?X-Signature=deadbeefdeadbeef"
			err := store.Check(t.Context())
			require.Zero(t, trail.OpenIntents())
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			var ce *blobstore.CheckError
			require.ErrorAs(t, err, &ce)
			require.Equal(t, "fetch", ce.Step)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "deadbeef")
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		b, _, store := newChecked(t)
		b.link = "http://127.0.0.1:1/k?X-Signature=deadbeefdeadbeef"
		err := store.Check(t.Context())
		require.ErrorContains(t, err, "cannot reach 127.0.0.1:1, the host of signed links")
		require.NotContains(t, err.Error(), "deadbeef")
	})
}

// A backend that hangs must not delay a readiness probe for long.
func TestCheckEndsInTime(t *testing.T) { synctest.Test(t, testCheckEndsInTime) }

func testCheckEndsInTime(t *testing.T) {
	b, trail, store := newChecked(t)
	b.write = func(ctx context.Context, _ string, _ io.Reader, _ *driver.WriteOptions) error {
		<-ctx.Done()
		return ctx.Err()
	}
	begun := time.Now()
	err := store.Check(t.Context())
	require.Equal(t, 5*time.Second, time.Since(begun), "in the bubble's own time")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "no response within 5s")
	require.Zero(t, trail.OpenIntents())
}
