// This file opens a folder as a bucket, and reads, copies and deletes objects.

package localblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// Options configures Open. The zero value selects the defaults.
type Options struct {
	// CreateDir creates the folder, and its parents, if it does not exist. If
	// false, Open fails for a missing folder.
	CreateDir bool
	// DirMode sets the permissions of new folders, before the umask. Zero means
	// 0700. Existing folders keep their permissions.
	DirMode fs.FileMode
	// FileMode sets the permissions of new files, before the umask. Zero means
	// 0600. Existing files keep their permissions.
	FileMode fs.FileMode
	// MD5 stores an MD5 with the attributes of each new object. It is computed
	// during the write. The default is false.
	MD5 bool

	noSync bool // disables fsync, for tests
}

type bucket struct {
	fs     fsys
	opts   Options
	locks  locks
	parked parkingLot
	kept   keptRecords
}

var _ driver.Bucket = (*bucket)(nil)

// Open opens the folder dir as a bucket. A nil opts selects the defaults. If
// the folder does not exist and Options.CreateDir is false, the error matches
// fs.ErrNotExist. Open removes the temporary files of crashed writers and makes
// no other change.
//
// The bucket is safe for concurrent use, also by several processes. The caller
// must close all readers and writers first, then the bucket.
func Open(dir string, opts *Options) (*Bucket, error) {
	b, err := open(dir, opts)
	if err != nil {
		return nil, err
	}
	return &Bucket{Bucket: blob.NewBucket(b), b: b}, nil
}

// Bucket is an open folder. It extends the bucket of the Go CDK by more
// methods.
type Bucket struct {
	*blob.Bucket
	b *bucket
}

// Write stores the content of r under key, like Upload of the Go CDK. Nil opts
// selects the defaults.
//
// Use final to store metadata known only at the end, such as a checksum. If
// final is not nil, Write calls it once, after the last byte and before the
// object becomes visible. Its metadata is added to opts.Metadata, with names in
// lowercase. If both have an entry, the entry of final is stored. If final
// fails, Write returns its error and stores nothing. Write does not call final
// after a failure.
func (bk *Bucket) Write(ctx context.Context, key string, r io.Reader, opts *blob.WriterOptions, final func() (metadata map[string]string, err error)) error {
	var o blob.WriterOptions
	if opts != nil {
		o = *opts
	}
	before := o.BeforeWrite
	o.BeforeWrite = func(as func(any) bool) error {
		if up := (*upload)(nil); final != nil && as(&up) {
			up.finish = final
		}
		if before != nil {
			return before(as)
		}
		return nil
	}
	return bk.Upload(ctx, key, r, &o)
}

func open(dir string, opts *Options) (*bucket, error) {
	b := &bucket{locks: newLocks()}
	if opts != nil {
		b.opts = *opts
	}
	if b.opts.DirMode == 0 {
		b.opts.DirMode = 0o700
	}
	if b.opts.FileMode == 0 {
		b.opts.FileMode = 0o600
	}
	if dir == "" {
		return nil, errors.New(`localblob: no folder given: want a path, or "." for the current folder`)
	}
	if b.opts.CreateDir {
		if err := b.makeRoot(dir); err != nil {
			return nil, fmt.Errorf("localblob: creating the folder: %w", err)
		}
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("localblob: the folder does not exist: create it, or set Options.CreateDir: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("localblob: opening the folder: %w", err)
	}
	b.fs.root, b.fs.noSync = root, b.opts.noSync
	if b.fs.dir, err = filepath.Abs(dir); err == nil {
		b.fs.info, err = root.Stat(".")
	}
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("localblob: opening the folder: %w", err)
	}
	if err := b.fs.keepTemp(); err != nil && !errors.Is(err, fs.ErrPermission) {
		root.Close()
		return nil, fmt.Errorf("localblob: opening the folder of temporary files: %w", err)
	}
	if _, err := b.sweepTemp(context.Background()); err != nil && !errors.Is(err, fs.ErrPermission) {
		b.fs.close()
		return nil, fmt.Errorf("localblob: removing leftovers of crashed writers: %w", err)
	}
	return b, nil
}

// makeRoot is like os.MkdirAll, and also makes every new folder durable.
func (b *bucket) makeRoot(dir string) error {
	existing := filepath.Clean(dir)
	for {
		if _, err := os.Stat(existing); err == nil || filepath.Dir(existing) == existing {
			break
		}
		existing = filepath.Dir(existing)
	}
	rel, err := filepath.Rel(existing, filepath.Clean(dir))
	if err != nil || rel == "." {
		return err
	}
	root, err := os.OpenRoot(existing)
	if err != nil {
		return err
	}
	defer root.Close()
	above := fsys{root: root, noSync: b.opts.noSync}
	return above.mkdirs(filepath.ToSlash(rel), b.opts.DirMode)
}

// Close implements driver.Bucket.
func (b *bucket) Close() error { return b.fs.close() }

// As implements driver.Bucket.
func (b *bucket) As(i any) bool {
	p, ok := i.(**bucket)
	if ok {
		*p = b
	}
	return ok
}

// stat describes the regular file name. Other kinds of files are not objects.
func (b *bucket) stat(name string) (fs.FileInfo, error) {
	fi, err := b.fs.root.Stat(name)
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	return fi, err
}

func (b *bucket) openFile(name string) (*os.File, fs.FileInfo, error) {
	f, err := b.fs.root.OpenFile(name, openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

// sameVersion reports whether a and b describe the same version of an object.
func sameVersion(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && tagOf(a) == tagOf(b)
}

// load returns an object and its attributes, even while the object is being
// replaced. The sidecar always contains the record of an existing object. If
// the record is missing, the object may have been replaced concurrently, and
// the next attempt finds the newer object. If the object is still the same,
// another program has stored it.
func (b *bucket) load(ctx context.Context, name string, open bool) (f *os.File, fi fs.FileInfo, r record, err error) {
	for {
		if err = ctx.Err(); err != nil {
			return nil, nil, record{}, err
		}
		if open {
			f, fi, err = b.openFile(name)
		} else {
			fi, err = b.stat(name)
		}
		if err != nil {
			return nil, nil, record{}, err
		}
		var s *sidecar
		var exact bool
		if r, exact = b.kept.get(name, fi); exact {
			return f, fi, r, nil
		}
		if s, err = b.readSidecar(name); err == nil {
			if r, exact = s.pick(tagOf(fi)); exact {
				b.kept.put(name, fi, r)
				return f, fi, r, nil
			}
			var again fs.FileInfo
			if again, err = b.stat(name); err == nil && sameVersion(fi, again) {
				return f, fi, r, nil
			}
		}
		if f != nil {
			f.Close()
		}
		if err != nil {
			return nil, nil, record{}, err
		}
	}
}

// Attributes implements driver.Bucket.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	name, err := fileName(key, false)
	if err != nil {
		return nil, err
	}
	_, fi, r, err := b.load(ctx, name, false)
	if err != nil {
		return nil, b.explain("stat", key, name, err)
	}
	return attributes(fi, r), nil
}

// attributes describes the data file fi with its record.
func attributes(fi fs.FileInfo, r record) *driver.Attributes {
	t := tagOf(fi)
	return &driver.Attributes{
		CacheControl:       r.CacheControl,
		ContentDisposition: r.ContentDisposition,
		ContentEncoding:    r.ContentEncoding,
		ContentLanguage:    r.ContentLanguage,
		ContentType:        r.ContentType,
		Metadata:           r.Metadata,
		ModTime:            fi.ModTime(),
		Size:               fi.Size(),
		MD5:                r.MD5,
		ETag:               t.etag(),
	}
}

// NewRangeReader implements driver.Bucket.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	r, err := b.openRange(ctx, key, offset, length, opts.BeforeRead)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (b *bucket) openRange(ctx context.Context, key string, offset, length int64, beforeRead func(func(any) bool) error) (*reader, error) {
	name, err := fileName(key, false)
	if err != nil {
		return nil, err
	}
	f, fi, rec, err := b.load(ctx, name, true)
	if err != nil {
		return nil, b.explain("open", key, name, err)
	}
	r := &reader{ctx: ctx, key: key, f: f, r: f, whole: attributes(fi, rec), attrs: driver.ReaderAttributes{
		ContentType: rec.ContentType,
		ModTime:     fi.ModTime(),
		Size:        fi.Size(),
	}}
	if beforeRead != nil {
		if err := beforeRead(r.asFile); err != nil {
			f.Close()
			return nil, err
		}
	}
	if offset > 0 {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
			return nil, keyError("seek", key, err)
		}
	}
	// The end is known, so no further read is needed to find it.
	left := max(fi.Size()-offset, 0)
	if length >= 0 {
		left = min(left, length)
	}
	r.r = &io.LimitedReader{R: f, N: left}
	return r, nil
}

// OpenRange opens length bytes of an object, starting at offset, and returns
// its attributes at that moment. It is like NewRangeReader of blob.Bucket, but
// without the Go CDK's metrics. A negative length reads to the end. The As
// method of the reader supports the same types as a blob.Reader.
//
// Several callers share the attributes, so do not change them. Errors match
// with errors.Is. The caller closes the reader.
func (bk *Bucket) OpenRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, *blob.Attributes, error) {
	b := bk.b
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	r, err := b.openRange(ctx, key, offset, length, nil)
	if err != nil {
		return nil, nil, err
	}
	a := r.whole
	return r, &blob.Attributes{
		CacheControl: a.CacheControl, ContentDisposition: a.ContentDisposition, ContentEncoding: a.ContentEncoding,
		ContentLanguage: a.ContentLanguage, ContentType: a.ContentType, Metadata: a.Metadata, ModTime: a.ModTime,
		Size: a.Size, MD5: a.MD5, ETag: a.ETag,
	}, nil
}

type reader struct {
	ctx   context.Context
	key   string
	f     *os.File
	r     io.Reader // f limited to the range
	attrs driver.ReaderAttributes
	whole *driver.Attributes
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = keyError("read", r.key, err)
	}
	return n, err
}

func (r *reader) Close() error                         { return keyError("close", r.key, r.f.Close()) }
func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attrs }

// As provides three types. The *os.File is positioned at the start of the
// range. The io.Reader ends with the range; it is an *io.LimitedReader of the
// file, so the kernel can send it to a socket. The *driver.Attributes describe
// the same version as the content, even while the object is being replaced, and
// save a second lookup.
func (r *reader) As(i any) bool {
	switch p := i.(type) {
	case *io.Reader:
		*p = r.r
	case **driver.Attributes:
		*p = r.whole
	default:
		return r.asFile(i)
	}
	return true
}

func (r *reader) asFile(i any) bool {
	p, ok := i.(**os.File)
	if ok {
		*p = r.f
	}
	return ok
}

// Copy implements driver.Bucket. It uses a writer, so a copy is as atomic and
// durable as an upload.
func (b *bucket) Copy(ctx context.Context, dstKey, srcKey string, opts *driver.CopyOptions) error {
	src, err := fileName(srcKey, false)
	if err != nil {
		return err
	}
	f, _, rec, err := b.load(ctx, src, true)
	if err != nil {
		return b.explain("copy", srcKey, src, err)
	}
	defer f.Close()
	w, err := b.newWriter(ctx, dstKey, rec, &driver.WriterOptions{BeforeWrite: opts.BeforeCopy})
	if err != nil {
		return err
	}
	_ = w.Upload(f) // Close returns its error
	return w.Close()
}

// Delete implements driver.Bucket. It removes the object durably before it
// removes the attributes. A crash in between leaves a sidecar without an
// object. No reader uses such a sidecar, and Sweep removes it.
func (b *bucket) Delete(ctx context.Context, key string, opts *driver.DeleteOptions) error {
	name, err := fileName(key, false)
	if err != nil {
		return err
	}
	if opts.BeforeDelete != nil {
		if err := opts.BeforeDelete(func(any) bool { return false }); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.remove(ctx, key, name, "")
}

// ErrReplaced reports that the object has another version than the expected
// one.
var ErrReplaced = errors.New("localblob: the object has another version")

// DeleteVersion deletes the object if its ETag is etag, as in its attributes.
// Otherwise the object remains and the error is ErrReplaced. If the object does
// not exist, the error matches fs.ErrNotExist. Errors match with errors.Is.
func (bk *Bucket) DeleteVersion(ctx context.Context, key, etag string) error {
	b := bk.b
	name, err := fileName(key, false)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.remove(ctx, key, name, etag)
}

// remove deletes an object. If etag is not empty, it deletes only that version.
func (b *bucket) remove(ctx context.Context, key, name, etag string) error {
	if err := b.fs.present(); err != nil {
		return err
	}
	if _, err := b.stat(name); err != nil {
		return b.explain("delete", key, name, err)
	}
	if err := b.usable(key, name, false); err != nil {
		return err
	}
	unlock, err := b.lock(ctx, name)
	if err != nil {
		return keyError("delete", key, err)
	}
	defer unlock()
	if fi, err := b.fs.root.Lstat(name); err == nil && fi.IsDir() {
		return keyError("delete", key, fs.ErrNotExist)
	}
	if etag != "" {
		switch fi, err := b.stat(name); {
		case err != nil:
			return keyError("delete", key, err)
		case tagOf(fi).etag() != etag:
			return ErrReplaced
		}
	}
	if err := b.fs.remove(name); err != nil {
		return keyError("delete", key, err)
	}
	if err := b.fs.syncDir(path.Dir(name)); err != nil {
		return fmt.Errorf("%w: %w", ErrNotSynced, keyError("delete", key, err))
	}
	err = b.fs.remove(name + attrsExt)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENAMETOOLONG) {
		return keyError("delete", key, err)
	}
	b.fs.prune(path.Dir(name))
	return nil
}

// SignedURL implements driver.Bucket. A folder cannot serve URLs.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", &codedError{
		code: gcerrors.Unimplemented,
		msg:  "localblob: local files have no signed URLs: serve them through a handler that checks links",
		err:  errors.ErrUnsupported,
	}
}
