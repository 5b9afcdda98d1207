package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// fileBucket adds missing guarantees to fileblob of the Go CDK: it syncs to
// disk, its create-only writes are exact within this process, and it sweeps the
// leftovers of a crash.
type fileBucket struct {
	driver.Bucket
	dir    string
	info   fs.FileInfo // of the folder, when it was opened
	origin origin
	marked atomic.Bool // whether the marker has been seen
	seed   maphash.Seed
	locks  [64]sync.Mutex // one lock per group of keys; held while a write is committed
}

func openFile(u *url.URL) (driver.Bucket, error) {
	var create, createDir, noTempDir bool // create_dir is the Go CDK's name of create; no_tmp_dir is accepted, but always on
	metadata, dirMode := "", fs.FileMode(0o700)
	if err := provider.AllParameters(u.Query(), map[string]any{
		"create": &create, "create_dir": &createDir, "dir_file_mode": &dirMode, "no_tmp_dir": &noTempDir, "metadata": &metadata,
	}); err != nil {
		return nil, err
	}
	if metadata == "skip" {
		return nil, errors.New("metadata=skip is not supported: a store needs metadata to recognize its own objects after a crash")
	}
	create = create || createDir
	dir, err := folder(u, create)
	if err != nil {
		return nil, err
	}
	// Temporary files are stored next to the objects. A file in the system's
	// temporary folder could not be renamed across file systems.
	from := originOf(dir)
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: create, DirFileMode: dirMode, NoTempDir: true})
	if err != nil {
		return nil, err
	}
	fb := &fileBucket{
		Bucket: driver.FromBlob(b, driver.Info{
			Backend: backend, Bucket: identity(dir),
			Capabilities: driver.Capabilities{Durable: true},
			Needs:        needs,
		}),
		dir: dir, origin: from, seed: maphash.MakeSeed(),
	}
	if fb.info, err = os.Stat(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the folder: %w", err), fb.Close())
	}
	_, err = os.Lstat(from.marker())
	fb.marked.Store(err == nil)
	return fb, nil
}

// present returns nil if the folder is still at its path and is the one that
// was opened. A new folder may get the inode number of a removed one, but it
// does not have the marker.
func (b *fileBucket) present() error {
	fi, err := os.Stat(b.dir)
	switch {
	case err == nil && fi.IsDir() && os.SameFile(fi, b.info):
		if !b.marked.Load() {
			return nil
		}
		if _, err := os.Lstat(b.origin.marker()); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return fmt.Errorf("%w: the folder %s was emptied or created again", driver.ErrNoBucket, b.dir)
	case err == nil:
		return fmt.Errorf("%w: the folder at %s is not the one that was opened: if it is the right one, open the bucket again", driver.ErrNoBucket, b.dir)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: there is no folder %s", driver.ErrNoBucket, b.dir)
	}
	return err
}

// Precheck implements [provider.Prechecker].
func (b *fileBucket) Precheck(context.Context, string) error { return b.present() }

// Fresh implements [provider.Fresh].
func (b *fileBucket) Fresh() (bool, string) { return b.origin.fresh() }

// Undo implements [provider.Fresh].
func (b *fileBucket) Undo(context.Context) error { return b.origin.undo() }

// Attributes implements [driver.Bucket].
func (b *fileBucket) Attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	return provider.Attributes(ctx, b.Blob(), key, b.mapError)
}

// lock serializes the commits of a key.
func (b *fileBucket) lock(key string) (unlock func()) {
	m := &b.locks[maphash.String(b.seed, key)%uint64(len(b.locks))]
	m.Lock()
	return m.Unlock
}

// Write implements [driver.Bucket]. It uses the writer of the Go CDK instead of
// Upload, because it must sync the file between the last byte and the rename. A
// writer whose context is canceled before Close leaves nothing.
func (b *fileBucket) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) (err error) {
	if err := b.present(); err != nil {
		return err // fileblob would create the folder again
	}
	if !b.marked.Load() {
		if err := os.Mkdir(b.origin.marker(), 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			b.marked.Store(true)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tmp *os.File
	opts := provider.WriterOptions(o.ContentType, o.CacheControl, o.ContentEncoding, o.Metadata, o.IfNotExist)
	opts.BeforeWrite = func(as func(any) bool) error {
		if !as(&tmp) {
			return errors.New("fileblob did not provide an *os.File")
		}
		return nil
	}
	w, err := b.Blob().NewWriter(ctx, key, opts)
	if err != nil {
		return b.writeError(err)
	}
	release, err := holdLive(tmp)
	if err == nil {
		defer release()
		_, err = provider.Copy(w, provider.ContextReader(ctx, r))
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel(err) // makes Close discard the file
		_ = w.Close()
		return b.mapError(err)
	}
	unlock := b.lock(key)
	defer unlock()
	// fileblob truncates the attributes before it renames the file. If it fails
	// in between, the attributes of the old object are lost.
	restore, err := keepAttrs(objectPath(tmp.Name()))
	if err != nil {
		cancel(err)
		_ = w.Close()
		return err
	}
	if err := w.Close(); err != nil {
		return b.writeError(errors.Join(err, restore()))
	}
	if err := b.syncPath(objectPath(tmp.Name())); err != nil {
		if !o.IfNotExist {
			return provider.As(driver.ErrInDoubt, err) // the old object no longer exists
		}
		return errors.Join(err, b.Blob().Delete(context.WithoutCancel(ctx), key))
	}
	return nil
}

// keepAttrs returns a function that restores the attributes of the object at
// path. The function changes nothing unless both exist now and the attributes
// have changed since.
func keepAttrs(path string) (restore func() error, err error) {
	attrs := path + ".attrs"
	old, err := os.ReadFile(attrs)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	return func() error {
		if now, err := os.ReadFile(attrs); err == nil && bytes.Equal(now, old) {
			return nil
		}
		if _, err := os.Lstat(path); err != nil {
			return nil // the object never existed, or was removed
		}
		if err := os.WriteFile(attrs, old, 0o666); err != nil {
			return fmt.Errorf("the attributes of the old object are lost: %w", err)
		}
		return syncFile(attrs)
	}, nil
}

// mapError returns err as an error of the contract. A path below a regular file
// does not exist.
func (b *fileBucket) mapError(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		err = provider.As(fs.ErrNotExist, err)
	} else {
		err = provider.MapCode(err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if missing := b.present(); missing != nil {
			return missing
		}
	}
	return err
}

// writeError maps the error of a write. If a folder or a file with the same
// name is in the way, the key exists.
func (b *fileBucket) writeError(err error) error {
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) {
		return provider.As(fs.ErrExist, err)
	}
	return b.mapError(err)
}

// Read implements [driver.Bucket]. It waits while the object is being replaced.
func (b *fileBucket) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	defer b.lock(key)()
	r, err := b.Bucket.Read(ctx, key, offset, length)
	return r, b.mapError(err)
}

// objectPath returns the path of the object for one of fileblob's temporary
// files. fileblob names them "path.<time in hex>.tmp".
func objectPath(tmp string) string {
	tmp = strings.TrimSuffix(tmp, ".tmp")
	return tmp[:strings.LastIndexByte(tmp, '.')]
}

// syncPath makes the attributes and the name of an object durable, including
// the folders above it.
func (b *fileBucket) syncPath(path string) error {
	if err := syncFile(path + ".attrs"); err != nil {
		return err
	}
	return b.syncDirs(path)
}

func (b *fileBucket) syncDirs(path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if err := syncFile(dir); err != nil {
			return err
		}
		if dir == b.dir || len(dir) < len(b.dir) {
			return nil
		}
	}
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Copy implements [driver.Bucket].
func (b *fileBucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	return driver.CopyThrough(ctx, b, dst, src, o)
}

// Delete implements [driver.Bucket].
func (b *fileBucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	defer b.lock(key)()
	if err := b.present(); err != nil {
		return err
	}
	if err := b.Bucket.Delete(ctx, key, o); err != nil {
		return b.mapError(err)
	}
	if err := b.syncDirs(b.path(key)); err != nil {
		return provider.As(driver.ErrInDoubt, err)
	}
	return nil
}

// path returns the path of an object's file. Keys accepted by the store contain
// nothing that fileblob escapes.
func (b *fileBucket) path(key string) string {
	return filepath.Join(b.dir, filepath.FromSlash(key))
}
