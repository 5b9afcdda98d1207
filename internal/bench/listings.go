package main

// This file compares listing a whole folder with one walk over it.

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"github.com/blobtrail/blobtrail/blobstore"
)

var listings = []row{
	{
		what: "whole listing, local, 100,000 objects in one folder", peer: "filepath.WalkDir with Info over the same files",
		goal: atMost(1.30), once: true, open: listing(100_000, 100_000, true),
	},
	{
		what: "whole listing, local, 100,000 objects in one folder", peer: "filepath.WalkDir with Info over 100,000 files without attributes",
		once: true, open: listing(100_000, 100_000, false),
	},
	{
		what: "whole listing, local, 100,000 objects, 100 to a folder", peer: "filepath.WalkDir with Info over the same files",
		goal: atMost(1.30), once: true, open: listing(100_000, 100, true),
	},
	{
		what: "an object of a whole listing, of 100,000", peer: "of 10,000", goal: atMost(1.30),
		open: func(e *env) (ours, theirs side, err error) {
			var sides [2]side
			for i, n := range []int{100_000, 10_000} {
				store, _, err := filled(e, n, n)
				if err != nil {
					return nil, nil, err
				}
				whole := timed(func() error { return listAll(e, store, n) }, nil)
				sides[i] = func(times int) (float64, error) {
					cost, err := whole(times)
					return cost / float64(n), err
				}
			}
			return sides[0], sides[1], nil
		},
	},
}

func listing(n, perFolder int, sameFiles bool) func(*env) (side, side, error) {
	return func(e *env) (side, side, error) {
		store, dir, err := filled(e, n, perFolder)
		if err != nil {
			return nil, nil, err
		}
		if !sameFiles {
			if dir, err = plainFiles(e, n, perFolder); err != nil {
				return nil, nil, err
			}
		}
		return timed(func() error { return listAll(e, store, n) }, nil),
			timed(func() error { return walkAll(dir, n) }, nil), nil
	}
}

func name(i, perFolder int) string {
	return fmt.Sprintf("tenant-%04d/%08d_report.pdf", i/perFolder, i)
}

// filled creates a folder of n objects, with attributes in the form of a store.
func filled(e *env, n, perFolder int) (*blobstore.Store, string, error) {
	dir, err := e.dir()
	if err != nil {
		return nil, "", err
	}
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true}) // without syncs
	if err != nil {
		return nil, "", err
	}
	defer bucket.Close() //nolint:errcheck // nothing can be lost
	for i := range n {
		if err := bucket.Upload(e, name(i, perFolder), strings.NewReader("x"), &blob.WriterOptions{ContentType: "application/pdf"}); err != nil {
			return nil, "", err
		}
	}
	store, err := openLocal(e, dir)
	return store, dir, err
}

func plainFiles(e *env, n, perFolder int) (string, error) {
	dir, err := e.dir()
	for i := 0; err == nil && i < n; i++ {
		file := filepath.Join(dir, filepath.FromSlash(name(i, perFolder)))
		if i%perFolder == 0 {
			err = os.Mkdir(filepath.Dir(file), 0o700)
		}
		if err == nil {
			err = os.WriteFile(file, []byte("x"), 0o600)
		}
	}
	return dir, err
}

func listAll(e *env, store *blobstore.Store, want int) error {
	found := 0
	for _, err := range store.List(e, nil) {
		if err != nil {
			return err
		}
		found++
	}
	if found != want {
		return fmt.Errorf("listed %d objects of %d", found, want)
	}
	return nil
}

func walkAll(dir string, want int) error {
	found := 0
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found++
		_, err = d.Info()
		return err
	})
	if err == nil && found < want {
		err = fmt.Errorf("walked over %d files of %d", found, want)
	}
	return err
}
