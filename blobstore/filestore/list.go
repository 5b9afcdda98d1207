package filestore

// This file implements List for file://. It replaces the listing of fileblob,
// which has several problems. fileblob visits "a/b" before "a-b" but continues
// from the last key of a page, so the order is wrong and objects can be lost
// between pages. It reads the whole folder again for every page, and it lists
// temporary files.

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/keyrule"
)

// List implements [driver.Bucket]. It walks the folders selected by the prefix
// once. Files without a valid key are not objects. Other programs may put such
// files into the folder.
func (b *fileBucket) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return func(yield func(*blob.ListObject, error) bool) {
		w := walker{ctx: ctx, bucket: b, prefix: o.Prefix, delimiter: o.Delimiter, yield: yield}
		start := o.Prefix[:strings.LastIndexByte(o.Prefix, '/')+1]
		if start != "" && start != keyrule.Uploads && keyrule.Check(strings.TrimSuffix(start, "/")) != nil {
			return // no key begins with this prefix
		}
		if err := b.present(); err != nil {
			yield(nil, err)
			return
		}
		if w.folder(start) {
			if err := b.present(); err != nil { // the folder may have been removed instead of being empty
				yield(nil, err)
			}
		}
	}
}

type walker struct {
	ctx               context.Context
	bucket            *fileBucket
	prefix, delimiter string
	folded            string // last element that represents several keys
	yield             func(*blob.ListObject, error) bool
}

// folder yields the objects below a folder and reports whether the walk
// continues. The folder is given as a key with a slash at the end.
func (w *walker) folder(key string) bool {
	entries, err := os.ReadDir(w.bucket.path(key))
	if errors.Is(w.bucket.mapError(err), fs.ErrNotExist) {
		return true // never existed, or was removed concurrently
	}
	if err != nil {
		return w.yield(nil, err) && false
	}
	// For the order of the keys, a folder sorts by its name and a slash.
	sorted := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(sorted(a), sorted(b)) })
	for _, e := range entries {
		if w.ctx.Err() != nil {
			return w.yield(nil, context.Cause(w.ctx)) && false
		}
		name := key + sorted(e)
		n := min(len(name), len(w.prefix))
		if name[:n] != w.prefix[:n] || keyrule.Check(strings.TrimSuffix(name, "/")) != nil && !keyrule.IsUpload(name) {
			continue
		}
		if !w.entry(name, e) {
			return false
		}
	}
	return true
}

func (w *walker) entry(name string, e fs.DirEntry) bool {
	if w.folded != "" && strings.HasPrefix(name, w.folded) {
		return true
	}
	if e.IsDir() {
		return w.folder(name)
	}
	if !strings.HasPrefix(name, w.prefix) {
		return true
	}
	if w.delimiter != "" {
		if before, _, found := strings.Cut(name[len(w.prefix):], w.delimiter); found {
			w.folded = w.prefix + before + w.delimiter
			return w.yield(&blob.ListObject{Key: w.folded, IsDir: true}, nil)
		}
	}
	info, err := os.Stat(filepath.Join(w.bucket.dir, filepath.FromSlash(name))) // follows links, like reading
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return true
	}
	if err != nil {
		return w.yield(nil, err) && false
	}
	return w.yield(&blob.ListObject{Key: name, ModTime: info.ModTime(), Size: info.Size()}, nil)
}

// Skipped implements [provider.Skipper].
func (b *fileBucket) Skipped(ctx context.Context, prefix string, limit int, found func(path, reason string) bool) error {
	if err := b.present(); err != nil {
		return err
	}
	looked := 0
	return fs.WalkDir(os.DirFS(b.dir), ".", func(name string, d fs.DirEntry, err error) error {
		if looked++; ctx.Err() != nil || limit > 0 && looked > limit {
			return cmp.Or(context.Cause(ctx), fs.SkipAll)
		}
		reason := ""
		switch {
		case name == ".":
		case name == keyrule.Private:
			return fs.SkipDir
		case d.IsDir() && !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/"):
			return fs.SkipDir
		default:
			reason = b.whySkipped(name, d)
		}
		if err != nil {
			reason = "folder that can't be read"
		}
		if reason == "" {
			return nil
		}
		if strings.HasPrefix(name, prefix) && !found(name, reason) {
			return fs.SkipAll
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// whySkipped returns the reason for omitting a file from the listing, or "".
func (b *fileBucket) whySkipped(name string, d fs.DirEntry) string {
	if data, ok := strings.CutSuffix(name, ".attrs"); ok && d.Type().IsRegular() {
		if _, err := os.Lstat(b.path(data)); err == nil {
			return "" // attributes of an object
		}
	}
	if d.Type().IsRegular() && keyrule.IsTemp(d.Name()) {
		return "" // temporary file of a write
	}
	if err := keyrule.Check(name); err != nil {
		return "no key can have this name: " + err.Error()
	}
	if d.IsDir() || d.Type().IsRegular() {
		return ""
	}
	if info, err := os.Stat(b.path(name)); err == nil && info.Mode().IsRegular() {
		return "" // a link to a regular file, followed by reading
	}
	return "not a regular file, or a symbolic link to none"
}

var _ driver.Bucket = (*fileBucket)(nil)
