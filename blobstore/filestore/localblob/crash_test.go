// This file makes every file system operation fail in turn, or kills the
// process there. Afterwards the object is completely the old or completely the
// new one. An acknowledged object is always the new one.

package localblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

var errKilled = errors.New("the process is dead")

// faults counts the operations and makes operation number at fail with err.
// After errKilled, all later operations fail too, so nothing is cleaned up. It
// also records the files with unsynced bytes.
type faults struct {
	at, n    int
	err      error
	steps    []string
	unsynced map[string]bool
}

func (f *faults) step(op, name string) error {
	n := f.n
	f.n++
	f.steps = append(f.steps, op+" "+name)
	if n == f.at || n > f.at && errors.Is(f.err, errKilled) {
		return f.err
	}
	switch op {
	case "write":
		f.unsynced[name] = true
	case "sync":
		delete(f.unsynced, name)
	}
	return nil
}

// losePower empties the files whose bytes were not synced, as a file system may.
func (f *faults) losePower(t *testing.T, dir string) {
	for name := range f.unsynced {
		if err := os.Truncate(filepath.Join(dir, name), 0); err != nil {
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
	}
}

func TestEveryStepFails(t *testing.T) {
	const key = "deep/folder/object"
	ctx := context.Background()
	operations := map[string]struct {
		before string // the version that is there, if any
		do     func(*blob.Bucket) error
		after  string // the version after success; "" is none
	}{
		"create":      {"", func(b *blob.Bucket) error { return put(ctx, b, key, "new", true) }, "new"},
		"first write": {"", func(b *blob.Bucket) error { return put(ctx, b, key, "new", false) }, "new"},
		"overwrite":   {"old", func(b *blob.Bucket) error { return put(ctx, b, key, "new", false) }, "new"},
		"conflict":    {"old", func(b *blob.Bucket) error { return put(ctx, b, key, "new", true) }, "old"},
		"delete":      {"old", func(b *blob.Bucket) error { return b.Delete(ctx, key) }, ""},
		"copy":        {"old", func(b *blob.Bucket) error { return b.Copy(ctx, key, "source", nil) }, "new"},
	}
	for name, o := range operations {
		for _, fault := range []error{syscall.EIO, syscall.ENOSPC, errKilled} {
			t.Run(fmt.Sprintf("%s/%v", name, fault), func(t *testing.T) {
				for at := 0; ; at++ {
					dir := t.TempDir()
					setup, _ := openTest(t, dir, &Options{noSync: true})
					require.NoError(t, put(ctx, setup, "source", "new", false))
					if o.before != "" {
						// Overwrite the object once, so that its sidecar has a
						// previous record.
						require.NoError(t, put(ctx, setup, key, "older", false))
						require.NoError(t, put(ctx, setup, key, o.before, false))
					}

					bkt, b := openTest(t, dir, nil)
					f := &faults{at: at, err: fault, unsynced: map[string]bool{}}
					b.fs.step = f.step
					err := o.do(bkt)
					b.fs.step = nil
					if f.n <= at {
						if name != "conflict" {
							require.NoError(t, err)
						}
						t.Logf("%d steps", f.n)
						return
					}
					where := fmt.Sprintf("step %d, %s: %v", at, f.steps[at], err)
					if fault == errKilled {
						f.losePower(t, dir)
					} else if err != nil && gcerrors.Code(err) != gcerrors.FailedPrecondition {
						assert.ErrorIs(t, err, fault, where)
						assert.NotContains(t, err.Error(), dir, where)
					}
					require.NoError(t, bkt.Close())
					checkAfter(t, dir, key, o.before, o.after, err, fault == errKilled, where)
				}
			})
		}
	}
}

func checkAfter(t *testing.T, dir, key, before, after string, opErr error, killed bool, where string) {
	ctx := context.Background()
	bkt, _ := openTest(t, dir, nil)
	got := ""
	exists, err := bkt.Exists(ctx, key)
	require.NoError(t, err, where)
	if exists {
		got = version(t, bkt, key)
		same(t, bkt, key, got)
	}
	switch {
	case opErr == nil:
		require.Equal(t, after, got, where)
	case before == "" && !killed:
		require.Empty(t, got, "a failed upload leaves no object; "+where)
	default:
		require.Contains(t, []string{before, after}, got, where)
	}
	want := []string{"source"}
	if got != "" {
		want = []string{key, "source"}
	}
	require.Equal(t, want, keys(t, bkt, nil), where)

	// Open has removed the temporary files, Sweep removes the rest.
	_, err = of(bkt).Sweep(ctx, "")
	require.NoError(t, err, where)
	left := 2 * len(want)
	require.Len(t, files(t, dir), left, "%s: %v", where, files(t, dir))

	// The key works as if nothing had happened.
	require.NoError(t, put(ctx, bkt, key, "next", got == ""), where)
	require.Equal(t, "next", version(t, bkt, key), where)
	same(t, bkt, key, "next")
	require.NoError(t, bkt.Delete(ctx, key), where)
}

// A failing reader, a failing final, a canceled context and an invalid writer
// leave nothing.
func TestFailedWritesLeaveNothing(t *testing.T) {
	ctx := context.Background()
	broken := errors.New("the client went away")
	finish := func(f func() (map[string]string, error)) *blob.WriterOptions {
		return &blob.WriterOptions{ContentType: "text/new", BeforeWrite: func(as func(any) bool) error {
			var up *upload
			if !as(&up) {
				return errors.New("no *upload")
			}
			up.finish = f
			return nil
		}}
	}
	for _, c := range []struct {
		name string
		do   func(*blob.Bucket, string) error
		want error
	}{
		{"reader fails", func(b *blob.Bucket, key string) error {
			return b.Upload(ctx, key, io.MultiReader(strings.NewReader("half"), errReader{broken}), &blob.WriterOptions{ContentType: "text/new"})
		}, broken},
		{"finish fails", func(b *blob.Bucket, key string) error {
			return b.Upload(ctx, key, strings.NewReader("all"), finish(func() (map[string]string, error) { return nil, broken }))
		}, broken},
		{"cancelled while writing", func(b *blob.Bucket, key string) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			w, err := b.NewWriter(ctx, key, finish(func() (map[string]string, error) {
				t.Error("Finish is called for a cancelled write")
				return nil, nil
			}))
			if err != nil {
				return err
			}
			io.WriteString(w, "half")
			cancel()
			return w.Close()
		}, context.Canceled},
		{"cancelled in finish", func(b *blob.Bucket, key string) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			return b.Upload(ctx, key, strings.NewReader("all"), finish(func() (map[string]string, error) {
				cancel()
				return nil, nil
			}))
		}, context.Canceled},
		{"bad metadata from finish", func(b *blob.Bucket, key string) error {
			return b.Upload(ctx, key, strings.NewReader("all"), finish(func() (map[string]string, error) { return map[string]string{"": "x"}, nil }))
		}, nil},
	} {
		for _, before := range []string{"", "old"} {
			t.Run(c.name+"/over "+before, func(t *testing.T) {
				dir := t.TempDir()
				bkt, _ := openTest(t, dir, nil)
				if before != "" {
					require.NoError(t, put(ctx, bkt, "a/k", before, false))
				}
				err := c.do(bkt, "a/k")
				require.Error(t, err)
				if c.want != nil {
					require.ErrorIs(t, err, c.want)
				}
				if before == "" {
					assert.Empty(t, files(t, dir))
					assert.NoDirExists(t, filepath.Join(dir, "a"))
					return
				}
				assert.Len(t, files(t, dir), 2)
				assert.Equal(t, before, version(t, bkt, "a/k"))
			})
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestFinishAddsMetadata(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, nil)
	opts := &blob.WriterOptions{ContentType: "text/plain", Metadata: map[string]string{"sha256": "unknown", "name": "x"},
		BeforeWrite: func(as func(any) bool) error {
			var up *upload
			require.True(t, as(&up))
			up.finish = func() (map[string]string, error) {
				require.Len(t, files(t, dir), 1, "the object is not there yet")
				return map[string]string{"SHA256": "abc"}, nil
			}
			return nil
		}}
	require.NoError(t, bkt.Upload(ctx, "k", strings.NewReader("content"), opts))
	a, err := bkt.Attributes(ctx, "k")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"sha256": "abc", "name": "x"}, a.Metadata)
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	mountTiny(t, dir)
	ctx := context.Background()
	bkt, _ := openTest(t, dir, nil)
	require.NoError(t, put(ctx, bkt, "k", "old", false))
	before := files(t, dir)
	for _, key := range []string{"k", "other"} {
		err := bkt.Upload(ctx, key, io.LimitReader(zeros{}, 4<<20), &blob.WriterOptions{ContentType: "text/new"})
		require.ErrorIs(t, err, syscall.ENOSPC)
		assert.Equal(t, gcerrors.ResourceExhausted, gcerrors.Code(err))
		assert.NotContains(t, err.Error(), dir)
		assert.Equal(t, before, files(t, dir))
	}
	assert.Equal(t, "old", version(t, bkt, "k"))
	require.NoError(t, put(ctx, bkt, "k", "new", false), "there is room for what is small")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
