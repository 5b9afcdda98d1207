// Files that are not objects: a folder can hold more than keys lead to.

package localblob

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"path"
	"strings"
	"unicode/utf8"
)

// SkippedFile is a file or a folder that no listing yields.
type SkippedFile struct {
	Path   string // below the bucket's folder, with slashes; perhaps not valid UTF-8
	Reason string // such as "symbolic link"
}

// Skipped yields what the bucket holds besides its objects and their attributes, as far as the path
// begins with prefix: links, pipes, sockets and devices, and names that no key has. A folder comes in place of its
// content. If limit is not 0, the walk ends when it has looked at that many files. It ends after the first error.
func (bk *Bucket) Skipped(ctx context.Context, prefix string, limit int) iter.Seq2[SkippedFile, error] {
	return func(yield func(SkippedFile, error) bool) {
		b := bk.b
		err := b.fs.present()
		if err == nil {
			s := skipper{b: b, ctx: ctx, prefix: prefix, left: limit, limited: limit > 0, yield: yield}
			err = s.folder("")
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(SkippedFile{}, err)
		}
	}
}

var errStop = errors.New("no more is wanted")

type skipper struct {
	b       *bucket
	ctx     context.Context
	prefix  string
	left    int
	limited bool
	yield   func(SkippedFile, error) bool
}

func (s *skipper) folder(dir string) error {
	name := dir
	if name == "" {
		name = "."
	}
	entries, err := s.b.readDir(name)
	if err != nil {
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		return s.report(name, "folder that can't be read: "+reasonOf(err))
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		there[e.Name()] = true
	}
	for _, e := range entries {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if s.left--; s.limited && s.left < 0 {
			return errStop
		}
		if dir == "" && strings.EqualFold(e.Name(), privateDir) {
			continue
		}
		if err := s.entry(dir, e, there); err != nil {
			return err
		}
	}
	return nil
}

func (s *skipper) entry(dir string, e fs.DirEntry, there map[string]bool) error {
	full := path.Join(dir, e.Name())
	switch data, isAttrs := strings.CutSuffix(e.Name(), attrsExt); {
	case !e.IsDir() && !e.Type().IsRegular():
		return s.report(full, kindOf(e.Type()))
	case !canonical(dir, e.Name(), e.IsDir()):
		if !utf8.ValidString(e.Name()) {
			return s.report(full, "name that is not valid UTF-8")
		}
		return s.report(full, "name that no key has")
	case e.IsDir():
		if strings.HasPrefix(full+"/", s.prefix) || strings.HasPrefix(s.prefix, full+"/") {
			return s.folder(full)
		}
	case isAttrs && !there[data]:
		if a, err := s.b.readSidecar(path.Join(dir, data)); err == nil && a != nil && (a.Tag != nil || a.ContentType != "") {
			return nil // of an object that was removed
		}
		return s.report(full, `name that ends in ".attrs", where attributes are kept`)
	}
	return nil
}

func (s *skipper) report(name, reason string) error {
	if strings.HasPrefix(name, s.prefix) && !s.yield(SkippedFile{name, reason}, nil) {
		return errStop
	}
	return nil
}

// reasonOf returns the cause of an error without its path.
func reasonOf(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return err.Error()
}

func kindOf(t fs.FileMode) string {
	switch {
	case t&fs.ModeSymlink != 0:
		return "symbolic link"
	case t&fs.ModeNamedPipe != 0:
		return "named pipe"
	case t&fs.ModeSocket != 0:
		return "socket"
	case t&fs.ModeDevice != 0:
		return "device"
	}
	return "not a regular file"
}
