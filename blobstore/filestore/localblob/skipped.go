// This file finds files that are not objects.

package localblob

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"
)

// Skipped calls found for each file that no listing yields, if its path begins
// with prefix. These are links, pipes, sockets and devices, and files without a
// valid key. An unusable folder is reported instead of its content.
//
// The path is relative to the folder of the bucket, uses slashes, and may be
// invalid UTF-8. The reason is text such as "symbolic link". The walk ends if
// found returns false. If limit is not 0, it also ends after looking at limit
// files.
func (bk *Bucket) Skipped(ctx context.Context, prefix string, limit int, found func(path, reason string) bool) error {
	if err := bk.b.fs.present(); err != nil {
		return err
	}
	s := skipper{b: bk.b, ctx: ctx, prefix: prefix, left: limit, limited: limit > 0, found: found}
	if err := s.folder(""); !errors.Is(err, errStop) {
		return err
	}
	return nil
}

var errStop = errors.New("walk stopped")

type skipper struct {
	b       *bucket
	ctx     context.Context
	prefix  string
	left    int
	limited bool
	found   func(path, reason string) bool
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
			return nil // attributes of a removed object
		}
		return s.report(full, `name that ends in ".attrs", where attributes are kept`)
	}
	return nil
}

func (s *skipper) report(name, reason string) error {
	if strings.HasPrefix(name, s.prefix) && !s.found(name, reason) {
		return errStop
	}
	return nil
}

// reasonOf returns the text of an error without its path.
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
