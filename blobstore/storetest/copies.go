package storetest

// This file implements the cases of copying, moving and deleting.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

func copyCases() []testCase {
	type op = func(e *env, dst, src string, opts *blobstore.CopyOptions) error
	ops := map[string]op{
		"copy": func(e *env, dst, src string, opts *blobstore.CopyOptions) error {
			return e.store.Copy(e.ctx, dst, src, opts)
		},
		"move": func(e *env, dst, src string, opts *blobstore.CopyOptions) error {
			return e.store.Move(e.ctx, dst, src, opts)
		},
	}
	var cases []testCase
	for _, name := range []string{"copy", "move"} {
		do := ops[name]
		left := func(names ...string) []string { // the objects that remain: names, and "src" after a copy
			if name == "copy" {
				names = append(names, "src")
			}
			return names
		}
		cases = append(cases, []testCase{
			{"a " + name + " MUST include content, type, name and metadata", func(e *env) {
				data := content(mib + 3)
				e.put(e.key("src"), data, rich(false))
				was := e.stat(e.key("src"))
				require.NoError(e, do(e, e.key("d/dst"), e.key("src"), nil))
				is := e.stat(e.key("d/dst"))
				assert.NotEqual(e, was.OpID, is.OpID, "the copy belongs to a new operation")
				if e.can().KeepsSHA256 {
					assert.Equal(e, sum(data), is.SHA256)
				}
				is.Key, is.OpID, is.ETag, is.ModTime, is.SHA256 = was.Key, was.OpID, was.ETag, was.ModTime, was.SHA256
				assert.Equal(e, was, is)
				assert.Equal(e, data, e.get(e.key("d/dst")))
				e.has(left("d/dst")...)
			}},
			{"a " + name + " of an empty object MUST work", func(e *env) {
				e.put(e.key("src"), nil, nil)
				require.NoError(e, do(e, e.key("dst"), e.key("src"), nil))
				assert.Empty(e, e.get(e.key("dst")))
				e.has(left("dst")...)
			}},
			{"a " + name + " MUST NOT replace an object without Overwrite", func(e *env) {
				old, data := content(100), content(200)
				e.put(e.key("dst"), old, rich(false))
				e.put(e.key("src"), data, nil)
				was, source := e.stat(e.key("dst")), e.stat(e.key("src"))
				entry := e.one(func() {
					e.isError(do(e, e.key("dst"), e.key("src"), nil), name, e.key("dst"), fs.ErrExist)
				})
				assert.Equal(e, audit.OutcomeFailed, entry.Outcome)
				assert.Equal(e, "exists", entry.ErrorCode)
				e.same(was, old)
				e.same(source, data)
				e.settled()
			}},
			{"a " + name + " with Overwrite MUST replace an object and all its stored values", func(e *env) {
				e.put(e.key("dst"), content(100), rich(false))
				data := content(50)
				e.put(e.key("src"), data, &blobstore.UploadOptions{ContentType: "text/plain"})
				require.NoError(e, do(e, e.key("dst"), e.key("src"), &blobstore.CopyOptions{Overwrite: true}))
				is := e.stat(e.key("dst"))
				assert.Equal(e, "text/plain", is.ContentType)
				assert.Empty(e, is.Filename)
				assert.Empty(e, is.Metadata)
				assert.Equal(e, data, e.get(e.key("dst")))
				e.has(left("dst")...)
			}},
			{"a " + name + " of a missing object MUST leave the destination alone", func(e *env) {
				old := content(100)
				e.put(e.key("dst"), old, rich(false))
				was := e.stat(e.key("dst"))
				entry := e.one(func() {
					err := do(e, e.key("dst"), e.key("src"), &blobstore.CopyOptions{Overwrite: true})
					e.isError(err, name, e.key("dst"), fs.ErrNotExist)
				})
				assert.Equal(e, "not_found", entry.ErrorCode)
				e.same(was, old)
			}},
			{"a " + name + " onto itself MUST be refused and leave the object", func(e *env) {
				data := content(100)
				e.put(e.key("a"), data, rich(false))
				was := e.stat(e.key("a"))
				added := e.since(func() {
					e.isError(do(e, e.key("a"), e.key("a"), &blobstore.CopyOptions{Overwrite: true}), name, e.key("a"))
				})
				assert.Empty(e, added)
				e.same(was, data)
			}},
			{"a " + name + " from an invalid key MUST be ErrInvalidKey", func(e *env) {
				e.isError(do(e, e.key("a"), "../a", nil), name, e.key("a"), blobstore.ErrInvalidKey)
				e.isError(do(e, "../a", e.key("a"), nil), name, "../a", blobstore.ErrInvalidKey)
			}},
			{"a " + name + " of content that was tampered with MUST fail and leave nothing", func(e *env) {
				e.need(e.can().KeepsSHA256, "KeepsSHA256")
				if !copiesThrough(e) {
					e.Skip("Capabilities.KeepsSHA256: the service copies without reading the content")
				}
				e.put(e.key("src"), content(100), nil)
				e.tamper(e.key("src"), content(100))
				entry := e.one(func() {
					e.isError(do(e, e.key("dst"), e.key("src"), nil), name, e.key("dst"), blobstore.ErrChecksum)
				})
				assert.Equal(e, "checksum", entry.ErrorCode)
				e.has("src")
			}},
		}...)
	}
	return append(cases, []testCase{
		{"a copy MUST be recorded once, under the new key with its source", func(e *env) {
			data := content(100)
			e.put(e.key("src"), data, &blobstore.UploadOptions{ContentType: "text/x", SHA256: sum(data)})
			entry := e.one(func() {
				require.NoError(e, e.store.Copy(audit.WithAttrs(e.ctx, map[string]string{"why": "test"}), e.key("dst"), e.key("src"), &blobstore.CopyOptions{
					Resource: audit.Resource{Type: "invoice", ID: "42"},
				}))
			})
			e.recorded(entry, audit.ActionCopy, audit.OutcomeOK, e.key("dst"))
			assert.Equal(e, int64(100), *entry.Size)
			assert.Equal(e, sum(data), entry.SHA256)
			assert.Equal(e, "text/x", entry.ContentType)
			assert.Equal(e, e.key("src"), entry.SourceKey)
			assert.Equal(e, "test", entry.Attrs["why"])
			assert.Equal(e, audit.Resource{Type: "invoice", ID: "42"}, entry.Resource)
			assert.Equal(e, e.stat(e.key("dst")).OpID, entry.OpID)
		}},
		{"a move MUST be recorded for both keys, joined", func(e *env) {
			e.put(e.key("src"), content(100), nil)
			added := e.since(func() { require.NoError(e, e.store.Move(e.ctx, e.key("dst"), e.key("src"), nil)) })
			require.Len(e, added, 2)
			e.recorded(added[0], audit.ActionMove, audit.OutcomeOK, e.key("dst"))
			e.recorded(added[1], audit.ActionDelete, audit.OutcomeOK, e.key("src"))
			assert.Equal(e, added[0].OpID, added[1].RefOpID)
			assert.NotEqual(e, added[0].OpID, added[1].OpID)
			e.settled()
		}},
	}...)
}

// copiesThrough reports whether the backend copies by reading and writing. It
// then detects a wrong digest.
func copiesThrough(e *env) bool {
	switch e.store.Info().Backend {
	case "s3", "azure", "gcs":
		return false
	}
	return true
}

func deleteCases() []testCase {
	return []testCase{
		{"a deletion MUST remove an object and all its stored values", func(e *env) {
			e.put(e.key("a"), content(100), rich(false))
			require.NoError(e, e.store.Delete(e.ctx, e.key("a"), nil))
			e.has()
			_, err := e.store.Stat(e.ctx, e.key("a"))
			require.ErrorIs(e, err, fs.ErrNotExist)
			e.put(e.key("a"), []byte("x"), nil)
			is := e.stat(e.key("a"))
			assert.Empty(e, is.Filename)
			assert.Empty(e, is.Metadata)
		}},
		{"a deletion MUST NOT affect neighboring keys", func(e *env) {
			for _, k := range []string{"a", "a-b", "ab", "b/a"} {
				e.put(e.key(k), nil, nil)
			}
			require.NoError(e, e.store.Delete(e.ctx, e.key("a"), nil))
			e.has("a-b", "ab", "b/a")
		}},
		{"a deletion MUST be recorded with the description of the object", func(e *env) {
			data := content(100)
			e.put(e.key("a"), data, &blobstore.UploadOptions{ContentType: "text/x", SHA256: sum(data)})
			entry := e.one(func() {
				require.NoError(e, e.store.Delete(audit.WithAttrs(e.ctx, map[string]string{"why": "test"}), e.key("a"), &blobstore.DeleteOptions{
					Resource: audit.Resource{Type: "invoice", ID: "42"},
				}))
			})
			e.recorded(entry, audit.ActionDelete, audit.OutcomeOK, e.key("a"))
			assert.Equal(e, int64(100), *entry.Size)
			assert.Equal(e, sum(data), entry.SHA256)
			assert.Equal(e, "test", entry.Attrs["why"])
			assert.Equal(e, audit.Resource{Type: "invoice", ID: "42"}, entry.Resource)
		}},
		{"the deletion of a missing object MUST be recorded as failed", func(e *env) {
			entry := e.one(func() {
				e.isError(e.store.Delete(e.ctx, e.key("a"), nil), "delete", e.key("a"), fs.ErrNotExist)
			})
			e.recorded(entry, audit.ActionDelete, audit.OutcomeFailed, e.key("a"))
			assert.Equal(e, "not_found", entry.ErrorCode)
			e.settled()
		}},
		{"a deletion of one version MUST NOT remove another", func(e *env) {
			e.put(e.key("a"), []byte("one"), nil)
			was := e.stat(e.key("a"))
			require.ErrorIs(e, e.bucket.Delete(e.ctx, e.key("none"), &driver.DeleteOptions{IfMatch: was.ETag}), fs.ErrNotExist)
			e.put(e.key("a"), []byte("another"), &blobstore.UploadOptions{Overwrite: true})
			is := e.stat(e.key("a"))
			err := e.bucket.Delete(e.ctx, e.key("a"), &driver.DeleteOptions{IfMatch: was.ETag})
			require.ErrorIs(e, err, blobstore.ErrReplaced)
			require.NotErrorIs(e, err, fs.ErrExist)
			e.same(is, []byte("another"))
			require.NoError(e, e.bucket.Delete(e.ctx, e.key("a"), &driver.DeleteOptions{IfMatch: is.ETag}))
			e.has()
		}},
		{"a copy of one version MUST NOT copy another", func(e *env) {
			e.put(e.key("a"), []byte("one"), nil)
			was := e.stat(e.key("a"))
			e.put(e.key("a"), []byte("another"), &blobstore.UploadOptions{Overwrite: true})
			for _, create := range []bool{true, false} {
				err := e.bucket.Copy(e.ctx, e.key("b"), e.key("a"), &driver.CopyOptions{IfMatch: was.ETag, IfNotExist: create})
				require.ErrorIs(e, err, blobstore.ErrReplaced)
				require.NotErrorIs(e, err, fs.ErrExist)
			}
			e.has("a")
			require.NoError(e, e.bucket.Copy(e.ctx, e.key("b"), e.key("a"), &driver.CopyOptions{IfMatch: e.stat(e.key("a")).ETag}))
			assert.Equal(e, "another", string(e.get(e.key("b"))))
		}},
		{"a deletion of one version MUST NOT remove a concurrent replacement", func(e *env) {
			e.need(e.can().ExactDelete, "ExactDelete")
			for round := range 20 {
				key := e.key(fmt.Sprint("race", round))
				e.put(key, []byte("one"), nil)
				was := e.stat(key)
				var wg sync.WaitGroup
				wg.Go(func() {
					err := e.bucket.Delete(e.ctx, key, &driver.DeleteOptions{IfMatch: was.ETag})
					if !errors.Is(err, blobstore.ErrReplaced) {
						assert.NoError(e, err)
					}
				})
				wg.Go(func() {
					_, err := e.store.Upload(e.ctx, key, strings.NewReader("another"), &blobstore.UploadOptions{Overwrite: true})
					assert.NoError(e, err)
				})
				wg.Wait()
				require.Equal(e, "another", string(e.get(key)))
			}
		}},
		{"a replacement stored during a deletion MUST be deleted and recorded", func(e *env) {
			if e.h.Store != nil {
				e.Skip("the harness's store uses a different bucket")
			}
			e.put(e.key("a"), []byte("one"), nil)
			b := &replacing{Bucket: keptOpen{e.bucket}, do: func() { e.put(e.key("a"), []byte("another"), &blobstore.UploadOptions{Overwrite: true}) }}
			s, err := blobstore.New(b, e.trail, nil)
			require.NoError(e, err)
			added := e.since(func() { require.NoError(e, s.Delete(e.ctx, e.key("a"), nil)) })
			require.Len(e, added, 2, "of the upload and of the deletion")
			e.recorded(added[1], audit.ActionDelete, audit.OutcomeOK, e.key("a"))
			assert.Equal(e, int64(len("another")), *added[1].Size)
			e.has()
			e.settled()
		}},
		{"an object with a malformed digest MUST be deletable", func(e *env) {
			e.put(e.key("a"), content(10), nil)
			e.damageDigest(e.key("a"))
			_, err := e.store.Stat(e.ctx, e.key("a"))
			e.isError(err, "stat", e.key("a"), blobstore.ErrChecksum)
			_, err = e.store.Download(e.ctx, e.key("a"), nil)
			e.isError(err, "download", e.key("a"), blobstore.ErrChecksum)
			require.NoError(e, e.store.Delete(e.ctx, e.key("a"), nil))
			e.has()
		}},
	}
}

// replacing calls do before the first deletion.
type replacing struct {
	driver.Bucket
	do func()
}

func (b *replacing) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	if do := b.do; do != nil {
		b.do = nil
		do()
	}
	return b.Bucket.Delete(ctx, key, o)
}
