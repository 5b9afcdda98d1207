package storetest

// This file implements the cases of reading: ranges, verification and missing
// objects.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

func downloadCases() []testCase {
	cases := []testCase{
		{"an encoded object MUST be stored, read and copied unchanged", encodedObject},
		{"a range that starts past the end MUST be ErrRange", func(e *env) {
			for name, size := range map[string]int{"some": 100, "none": 0} {
				e.put(e.key(name), content(size), nil)
				entry := e.one(func() {
					_, err := e.store.Download(e.ctx, e.key(name), &blobstore.DownloadOptions{Range: blobstore.Range{Offset: int64(size) + 1}})
					e.isError(err, "download", e.key(name), blobstore.ErrRange)
				})
				assert.Equal(e, audit.OutcomeFailed, entry.Outcome)
				assert.Equal(e, "range", entry.ErrorCode)
			}
		}},
		{"a negative offset or length MUST be ErrRange", func(e *env) {
			e.put(e.key("a"), content(100), nil)
			_, err := e.store.Download(e.ctx, e.key("a"), &blobstore.DownloadOptions{Range: blobstore.Range{Offset: -1}})
			e.isError(err, "download", e.key("a"), blobstore.ErrRange)
			_, err = e.store.Download(e.ctx, e.key("a"), &blobstore.DownloadOptions{Range: blobstore.Range{Length: -1}})
			e.isError(err, "download", e.key("a"), blobstore.ErrRange)
		}},
		{"a reader MUST describe its object and range", func(e *env) {
			data := content(5000)
			e.put(e.key("a"), data, rich(false))
			want := e.stat(e.key("a"))
			r, err := e.store.Download(e.ctx, e.key("a"), nil)
			require.NoError(e, err)
			assert.Equal(e, want.Size, r.Range.Length)
			assert.Zero(e, r.Range.Offset)
			assert.True(e, want.ModTime.Equal(r.Object.ModTime))
			r.Object.ModTime = want.ModTime
			assert.Equal(e, want, r.Object)
			require.NoError(e, r.Close())
		}},
		{"WriteTo MUST write the whole content", func(e *env) {
			data := content(mib + 77)
			e.put(e.key("a"), data, nil)
			r, err := e.store.Download(e.ctx, e.key("a"), nil)
			require.NoError(e, err)
			var b bytes.Buffer
			n, err := r.WriteTo(&b)
			require.NoError(e, err)
			require.NoError(e, r.Close())
			assert.Equal(e, int64(len(data)), n)
			assert.True(e, bytes.Equal(data, b.Bytes()))
		}},
		{"verified content that is intact MUST be returned", func(e *env) {
			data := content(mib)
			e.put(e.key("a"), data, &blobstore.UploadOptions{SHA256: sum(data)})
			assert.True(e, bytes.Equal(data, e.getWith(e.key("a"), &blobstore.DownloadOptions{Verify: true})))
			e.put(e.key("empty"), nil, &blobstore.UploadOptions{SHA256: sum(nil)})
			assert.Empty(e, e.getWith(e.key("empty"), &blobstore.DownloadOptions{Verify: true}))
		}},
		{"verified content that was changed MUST end with ErrChecksum instead of io.EOF", func(e *env) {
			data := content(mib)
			for name, bad := range map[string][]byte{
				"one byte": append(bytes.Clone(data[:mib-1]), data[mib-1]^1), "cut": data[:mib-1], "emptied": {}, "longer": append(bytes.Clone(data), 0),
			} {
				key := e.key(name)
				e.put(key, data, &blobstore.UploadOptions{SHA256: sum(data)})
				e.tamper(key, bad)
				for _, whole := range []func(r *blobstore.Reader) error{
					func(r *blobstore.Reader) error { _, err := io.ReadAll(r); return err },
					func(r *blobstore.Reader) error { _, err := r.WriteTo(io.Discard); return err },
				} {
					r, err := e.store.Download(e.ctx, key, &blobstore.DownloadOptions{Verify: true})
					require.NoError(e, err, name)
					e.isError(whole(r), "download", key, blobstore.ErrChecksum)
					_, err = r.Read(make([]byte, 1))
					require.ErrorIs(e, err, blobstore.ErrChecksum, "later reads fail too")
					require.NoError(e, r.Close())
				}
			}
		}},
		{"verifying a range or an object without a digest MUST be ErrUnsupported", func(e *env) {
			e.put(e.key("a"), content(10), nil)
			_, err := e.store.Download(e.ctx, e.key("a"), &blobstore.DownloadOptions{Verify: true, Range: blobstore.Range{Offset: 1}})
			e.isError(err, "download", e.key("a"), blobstore.ErrUnsupported)
			// An object not written by a store has no digest on any backend.
			require.NoError(e, e.bucket.Write(e.ctx, e.key("b"), bytes.NewReader(content(10)), &driver.WriteOptions{Size: -1, ContentType: "text/plain"}))
			_, err = e.store.Download(e.ctx, e.key("b"), &blobstore.DownloadOptions{Verify: true})
			e.isError(err, "download", e.key("b"), blobstore.ErrUnsupported)
		}},
		{"a missing object MUST be fs.ErrNotExist everywhere", func(e *env) {
			key, other := e.key("missing"), e.key("other")
			_, err := e.store.Download(e.ctx, key, nil)
			e.isError(err, "download", key, fs.ErrNotExist)
			_, err = e.store.Stat(e.ctx, key)
			e.isError(err, "stat", key, fs.ErrNotExist)
			e.isError(e.store.Delete(e.ctx, key, nil), "delete", key, fs.ErrNotExist)
			e.isError(e.store.Copy(e.ctx, other, key, nil), "copy", other, fs.ErrNotExist)
			e.isError(e.store.Move(e.ctx, other, key, nil), "move", other, fs.ErrNotExist)
			e.has()
		}},
		{"keys above and below an object MUST be fs.ErrNotExist", func(e *env) {
			e.put(e.key("d/a"), nil, nil)
			for _, key := range []string{e.key("d"), e.key("d/a/x"), e.key("d/a/x/y")} {
				_, err := e.store.Stat(e.ctx, key)
				e.isError(err, "stat", key, fs.ErrNotExist)
				_, err = e.store.Download(e.ctx, key, nil)
				e.isError(err, "download", key, fs.ErrNotExist)
				e.isError(e.store.Delete(e.ctx, key, nil), "delete", key, fs.ErrNotExist)
			}
			e.has("d/a")
		}},
		{"the end of the context MUST end reading", func(e *env) {
			e.put(e.key("a"), content(4*mib), nil)
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			r, err := e.store.Download(ctx, e.key("a"), nil)
			require.NoError(e, err)
			_, err = io.ReadFull(r, make([]byte, 1000))
			require.NoError(e, err)
			cancel()
			_, err = io.Copy(io.Discard, r)
			e.isError(err, "download", e.key("a"), context.Canceled)
			_ = r.Close() // some backends return the error again
		}},
		{"an ended context MUST be refused and not recorded", func(e *env) {
			e.put(e.key("a"), content(10), nil)
			ctx, cancel := context.WithCancelCause(e.ctx)
			cancel(errReader)
			added := e.since(func() {
				_, err := e.store.Download(ctx, e.key("a"), nil)
				e.isError(err, "download", e.key("a"), context.Canceled, errReader)
				_, err = e.store.Stat(ctx, e.key("a"))
				e.isError(err, "stat", e.key("a"), context.Canceled)
				e.isError(e.store.Delete(ctx, e.key("a"), nil), "delete", e.key("a"), context.Canceled)
				e.isError(e.store.Copy(ctx, e.key("b"), e.key("a"), nil), "copy", e.key("b"), context.Canceled)
				_, err = e.store.Link(ctx, e.key("a"), nil)
				e.isError(err, "link", e.key("a"), context.Canceled)
			})
			assert.Empty(e, added)
			e.has("a")
		}},
		{"content read during a replacement MUST belong to a single version", func(e *env) {
			e.need(e.can().AtomicReplace, "AtomicReplace")
			put := func(n int) error {
				_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader(strings.Repeat(fmt.Sprint(n%10), 1000+n)), &blobstore.UploadOptions{
					Overwrite: true, Metadata: map[string]string{"n": fmt.Sprint(n)},
				})
				return err
			}
			require.NoError(e, put(0))
			done := make(chan error, 1)
			go func() {
				var err error
				for n := 1; n < 60 && err == nil; n++ {
					err = put(n)
				}
				done <- err
			}()
			for reads := 0; ; reads++ {
				select {
				case err := <-done:
					require.NoError(e, err)
					e.Logf("%d reads", reads)
					return
				default:
				}
				r, err := e.store.Download(e.ctx, e.key("a"), nil)
				require.NoError(e, err)
				data, err := io.ReadAll(r)
				require.NoError(e, err)
				require.NoError(e, r.Close())
				var n int
				_, err = fmt.Sscan(r.Object.Metadata["n"], &n)
				require.NoError(e, err)
				require.Equal(e, strings.Repeat(fmt.Sprint(n%10), 1000+n), string(data))
			}
		}},
	}
	data := content(10_000)
	for _, p := range []struct {
		name           string
		offset, length int64
		from, to       int
	}{
		{"from an offset", 1234, 0, 1234, 10_000},
		{"from the beginning", 0, 10, 0, 10},
		{"in the middle", 5000, 1000, 5000, 6000},
		{"of the last byte", 9999, 1, 9999, 10_000},
		{"that extends past the end", 9000, 5000, 9000, 10_000},
		{"of the maximum length", 1, math.MaxInt64, 1, 10_000},
		{"that begins at the end", 10_000, 0, 10_000, 10_000},
		{"that begins at the end and has a length", 10_000, 5, 10_000, 10_000},
	} {
		cases = append(cases, testCase{"a range " + p.name + " MUST be exact", func(e *env) {
			e.put(e.key("a"), data, nil)
			entry := e.one(func() {
				r, err := e.store.Download(e.ctx, e.key("a"), &blobstore.DownloadOptions{Range: blobstore.Range{Offset: p.offset, Length: p.length}})
				require.NoError(e, err)
				got, err := io.ReadAll(r)
				require.NoError(e, err)
				require.NoError(e, r.Close())
				assert.True(e, bytes.Equal(data[p.from:p.to], got))
				assert.Equal(e, p.offset, r.Range.Offset)
				assert.Equal(e, int64(p.to-p.from), r.Range.Length)
				assert.Equal(e, int64(10_000), r.Object.Size)
			})
			assert.Equal(e, fmt.Sprintf("%d-%d", p.offset, p.to-p.from), entry.Details.Range)
			assert.Equal(e, int64(p.to-p.from), *entry.Size)
		}})
	}
	return cases
}
