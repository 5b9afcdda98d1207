package main

// This file measures durable uploads to local files. It compares them with the
// simplest code of equal durability, and with fileblob plus the same syncs. The
// trail is excluded (audit.Discard); other rows measure it.

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
)

const copyBuffer = 128 << 10

var uploads = []row{
	{
		what: "local upload, durable, SHA-256, 64 MiB", peer: "raw write, SHA-256, fsync of file and folder",
		goal: atMost(1.10), open: uploading(64<<20, rawUploads),
	},
	{
		what: "local upload, durable, SHA-256, 64 MiB", peer: "fileblob, SHA-256 and the same fsyncs",
		goal: atMost(0.65), open: uploading(64<<20, fileblobUploads),
	},
	{
		what: "local upload, durable, SHA-256, 1 KiB", peer: "raw write, SHA-256, fsync of file and folder",
		goal: atMost(1.15), open: uploading(1<<10, rawUploads),
	},
	{
		what: "local upload, durable, SHA-256, 1 KiB", peer: "raw, with a second file for the attributes, both synced at once",
		open: uploading(1<<10, rawUploadsWithAttributes),
	},
	{
		what: "local upload, durable, SHA-256, 1 KiB", peer: "fileblob, SHA-256 and the same fsyncs",
		open: uploading(1<<10, fileblobUploads),
	},
}

// uploading measures uploads of the given size to fresh keys of a folder. Large
// objects are removed at once.
func uploading(size int, peer func(e *env, dir string) (func(key string, r io.Reader) error, error)) func(*env) (side, side, error) {
	return func(e *env) (side, side, error) {
		dir, err := e.dir()
		if err != nil {
			return nil, nil, err
		}
		store, err := openLocal(e, filepath.Join(dir, "ours"))
		if err != nil {
			return nil, nil, err
		}
		upload, err := peer(e, filepath.Join(dir, "theirs"))
		if err != nil {
			return nil, nil, err
		}
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(i * 7 >> 3)
		}
		measured := func(folder string, upload func(key string, r io.Reader) error) side {
			n := 0
			return timed(func() error {
				n++
				return upload(fmt.Sprintf("invoices/%08d_report.pdf", n), &body{content: content})
			}, func() error {
				if size < 1<<20 {
					return nil
				}
				file := filepath.Join(folder, "invoices", fmt.Sprintf("%08d_report.pdf", n))
				return errors.Join(os.Remove(file), ignoreMissing(os.Remove(file+".attrs")))
			})
		}
		return measured(filepath.Join(dir, "ours"), func(key string, r io.Reader) error {
				_, err := store.Upload(e, key, r, &blobstore.UploadOptions{Filename: "report.pdf"})
				return err
			}),
			measured(filepath.Join(dir, "theirs"), upload), nil
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// openLocal opens local files without a trail.
func openLocal(e *env, dir string) (*blobstore.Store, error) {
	store, err := blobstore.Open(e, "local://"+filepath.ToSlash(dir)+"?create=true", audit.Discard,
		&blobstore.Options{DefaultActor: audit.Actor{UserID: "bench"}})
	if err == nil {
		e.cleanup(func() error { return store.Close(e) })
	}
	return store, err
}

// body provides content like the body of a request, as a plain io.Reader.
type body struct{ content []byte }

func (b *body) Read(p []byte) (int, error) {
	if len(b.content) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.content)
	b.content = b.content[n:]
	return n, nil
}

var buffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// copyTo copies through a pooled buffer, even if r or w supports a faster way.
func copyTo(w io.Writer, r io.Reader) error {
	buf := buffers.Get().(*[copyBuffer]byte)
	defer buffers.Put(buf)
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf[:])
	return err
}

// rawUploads is a typical handwritten upload: a temporary file, fsync, rename,
// and fsync of the folder. It stores no metadata, accepts every key and
// replaces existing files.
func rawUploads(_ *env, dir string) (func(string, io.Reader) error, error) {
	err := os.MkdirAll(filepath.Join(dir, "invoices"), 0o700)
	return func(key string, r io.Reader) error {
		path := filepath.Join(dir, filepath.FromSlash(key))
		f, err := os.CreateTemp(dir, "upload*.tmp")
		if err != nil {
			return err
		}
		hash := sha256.New()
		err = copyTo(f, io.TeeReader(r, hash))
		_ = hash.Sum(nil)
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
		return syncFile(filepath.Dir(path))
	}, err
}

// rawUploadsWithAttributes also stores attributes, in a second file. It shows
// the minimum cost of that file.
func rawUploadsWithAttributes(_ *env, dir string) (func(string, io.Reader) error, error) {
	err := os.MkdirAll(filepath.Join(dir, "invoices"), 0o700)
	return func(key string, r io.Reader) error {
		path := filepath.Join(dir, filepath.FromSlash(key))
		f, err := os.CreateTemp(dir, "upload*.tmp")
		if err != nil {
			return err
		}
		hash := sha256.New()
		if err := copyTo(f, io.TeeReader(r, hash)); err != nil {
			return errors.Join(err, f.Close())
		}
		attrs, err := os.CreateTemp(dir, "upload*.tmp")
		if err != nil {
			return errors.Join(err, f.Close())
		}
		_, err = fmt.Fprintf(attrs, `{"content_type":"application/pdf","filename":"report.pdf","sha256":"%x"}`, hash.Sum(nil))
		synced := make(chan error, 1)
		go func() { synced <- f.Sync() }()
		if err = errors.Join(err, attrs.Sync(), <-synced, attrs.Close(), f.Close()); err != nil {
			return err
		}
		if err := errors.Join(os.Rename(attrs.Name(), path+".attrs"), os.Rename(f.Name(), path)); err != nil {
			return err
		}
		return syncFile(filepath.Dir(path))
	}, err
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// fileblobUploads is fileblob with its defaults and the missing syncs: of the
// file before its rename, and then of its attributes and the folder.
func fileblobUploads(e *env, dir string) (func(string, io.Reader) error, error) {
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: true, NoTempDir: true})
	if err != nil {
		return nil, err
	}
	e.cleanup(bucket.Close)
	return func(key string, r io.Reader) error {
		var tmp *os.File
		hash := sha256.New()
		w, err := bucket.NewWriter(e, key, &blob.WriterOptions{
			IfNotExist: true,
			Metadata:   map[string]string{"filename": "report.pdf"},
			BeforeWrite: func(as func(any) bool) error {
				if !as(&tmp) {
					return errors.New("fileblob did not provide an *os.File")
				}
				return nil
			},
		})
		if err != nil {
			return err
		}
		if err = copyTo(w, io.TeeReader(r, hash)); err == nil && tmp != nil {
			err = tmp.Sync()
		}
		if err = errors.Join(err, w.Close()); err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(key))
		return errors.Join(syncFile(path+".attrs"), syncFile(filepath.Dir(path)))
	}, nil
}
