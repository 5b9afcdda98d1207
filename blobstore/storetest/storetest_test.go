package storetest

// These tests show that the suite can fail: each flawed bucket below violates one
// clause of the contract, and the case of that clause must fail.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// recorder replaces the testing.TB of a case and records its failures without
// reporting them.
type recorder struct {
	testing.TB
	failed, skipped bool
	cleanups        []func()
}

func (r *recorder) Helper()               {}
func (r *recorder) Log(...any)            {}
func (r *recorder) Logf(string, ...any)   {}
func (r *recorder) Error(...any)          { r.failed = true }
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Fail()                 { r.failed = true }
func (r *recorder) FailNow()              { r.failed = true; runtime.Goexit() }
func (r *recorder) Fatal(...any)          { r.FailNow() }
func (r *recorder) Fatalf(string, ...any) { r.FailNow() }
func (r *recorder) Skip(...any)           { r.skipped = true; runtime.Goexit() }
func (r *recorder) Skipf(string, ...any)  { r.skipped = true; runtime.Goexit() }
func (r *recorder) Failed() bool          { return r.failed }
func (r *recorder) Skipped() bool         { return r.skipped }
func (r *recorder) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }

// fails reports whether the case fails on the bucket.
func fails(t *testing.T, c testCase, b driver.Bucket) bool {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.on(r, Harness{HeapLimit: 256 * mib}, b)
	}()
	<-done
	for _, f := range r.cleanups {
		f()
	}
	return r.failed
}

type flawed struct {
	driver.Bucket
	write func(b driver.Bucket, ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error
	read  func(b driver.Bucket, ctx context.Context, key string, offset, length int64) (*driver.Reader, error)
	copy  func(b driver.Bucket, ctx context.Context, dst, src string, o *driver.CopyOptions) error
	del   func(b driver.Bucket, ctx context.Context, key string, o *driver.DeleteOptions) error
	list  func(b driver.Bucket, ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error]
	blunt bool // its errors have no kind
}

func (f *flawed) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	if f.write != nil {
		return f.write(f.Bucket, ctx, key, r, o)
	}
	return f.Bucket.Write(ctx, key, r, o)
}

func (f *flawed) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	if f.read != nil {
		return f.read(f.Bucket, ctx, key, offset, length)
	}
	return f.Bucket.Read(ctx, key, offset, length)
}

func (f *flawed) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	if f.copy != nil {
		return f.copy(f.Bucket, ctx, dst, src, o)
	}
	return f.Bucket.Copy(ctx, dst, src, o)
}

func (f *flawed) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	if f.del != nil {
		return f.del(f.Bucket, ctx, key, o)
	}
	return f.Bucket.Delete(ctx, key, o)
}

func (f *flawed) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	if f.list != nil {
		return f.list(f.Bucket, ctx, o)
	}
	return f.Bucket.List(ctx, o)
}

func (f *flawed) Attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	a, err := f.Bucket.Attributes(ctx, key)
	if err != nil && f.blunt {
		err = errors.New("it did not work")
	}
	return a, err
}

func TestFlawedBucketsFail(t *testing.T) {
	type opts = driver.WriteOptions
	for name, f := range map[string]struct {
		bucket flawed
		caught []string // cases that must fail
	}{
		"stores a partial object": {flawed{write: func(b driver.Bucket, ctx context.Context, key string, r io.Reader, o *opts) error {
			data, err := io.ReadAll(r)
			if err == nil {
				return b.Write(ctx, key, bytes.NewReader(data), o)
			}
			part := *o
			part.Metadata = map[string]string{} // so that the store does not recognize the object
			return errors.Join(err, b.Write(context.WithoutCancel(ctx), key, bytes.NewReader(data), &part))
		}}, []string{"an upload whose reader fails midway MUST leave no object", "an upload with a different SHA-256 MUST leave the old object as it was"}},
		"ignores create-only": {flawed{write: func(b driver.Bucket, ctx context.Context, key string, r io.Reader, o *opts) error {
			any := *o
			any.IfNotExist = false
			return b.Write(ctx, key, r, &any)
		}}, []string{"an upload MUST NOT replace an object without Overwrite", "of many concurrent create-only uploads exactly one MUST succeed"}},
		"loses metadata": {flawed{write: func(b driver.Bucket, ctx context.Context, key string, r io.Reader, o *opts) error {
			less := *o
			less.Metadata = map[string]string{provider.MetaOp: o.Metadata[provider.MetaOp]}
			less.Final = nil
			return b.Write(ctx, key, r, &less)
		}}, []string{"the result of Upload MUST agree with Stat", "the digest of a stream MUST be stored with the object"}},
		"ignores lengths": {flawed{read: func(b driver.Bucket, ctx context.Context, key string, offset, _ int64) (*driver.Reader, error) {
			return b.Read(ctx, key, offset, -1)
		}}, []string{"a range in the middle MUST be exact"}},
		"does not delete": {flawed{del: func(driver.Bucket, context.Context, string, *driver.DeleteOptions) error { return nil }},
			[]string{"a deletion MUST remove an object and all its stored values", "a move MUST include content, type, name and metadata"}},
		"deletes any version": {flawed{del: func(b driver.Bucket, ctx context.Context, key string, _ *driver.DeleteOptions) error {
			return b.Delete(ctx, key, &driver.DeleteOptions{})
		}}, []string{"a deletion of one version MUST NOT remove another"}},
		"copies any version": {flawed{copy: func(b driver.Bucket, ctx context.Context, dst, src string, o *driver.CopyOptions) error {
			return b.Copy(ctx, dst, src, &driver.CopyOptions{IfNotExist: o.IfNotExist, Metadata: o.Metadata})
		}}, []string{"a copy of one version MUST NOT copy another"}},
		"returns errors without a kind": {flawed{blunt: true},
			[]string{"a missing object MUST be fs.ErrNotExist everywhere"}},
		"lists in reverse order": {flawed{list: func(b driver.Bucket, ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
			return func(yield func(*blob.ListObject, error) bool) {
				var all []*blob.ListObject
				for obj := range b.List(ctx, o) {
					all = append(all, obj)
				}
				for i := len(all) - 1; i >= 0 && yield(all[i], nil); i-- {
				}
			}
		}}, []string{"keys MUST be listed in byte order"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, want := range f.caught {
				c := find(t, want)
				bucket := f.bucket
				bucket.Bucket = memstore.New()
				require.False(t, fails(t, c, memstore.New()), "%s: on a sound bucket", want)
				assert.True(t, fails(t, c, &bucket), "%s: not noticed", want)
			}
		})
	}
}

func find(t *testing.T, name string) testCase {
	t.Helper()
	for _, g := range allCases() {
		for _, c := range g.cases {
			if c.name == name {
				return c
			}
		}
	}
	require.Fail(t, "no such case", name)
	return testCase{}
}

func TestCaseNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range allCases() {
		for _, c := range g.cases {
			assert.False(t, seen[g.name+c.name], c.name)
			assert.Contains(t, c.name, "MUST")
			seen[g.name+c.name] = true
		}
	}
	assert.GreaterOrEqual(t, len(seen), 60)
}
