// This file implements listing. One walk visits the folders in the order of the
// keys and is divided into pages.

package localblob

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

const defaultPageSize = 1000

// ListPaged implements driver.Bucket. A page continues at the end of the
// previous page. It uses the same walk if it is still parked, and otherwise
// descends to the position in the token.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if opts.BeforeList != nil {
		if err := opts.BeforeList(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	w := &walk{b: b, prefix: opts.Prefix, delimiter: opts.Delimiter}
	if len(opts.PageToken) > 0 {
		id, from, err := parseToken(opts.PageToken)
		if err != nil {
			return nil, err
		}
		if parked := b.parked.take(id, opts.Prefix, opts.Delimiter); parked != nil {
			w = parked
		} else {
			w.from = from
			w.start()
		}
	} else {
		w.start()
	}
	defer w.closeDirs()
	if err := b.fs.present(); err != nil {
		return nil, err // an empty listing would be wrong
	}

	size := opts.PageSize
	if size == 0 {
		size = defaultPageSize
	}
	page := &driver.ListPage{Objects: make([]*driver.ListObject, 0, min(size, defaultPageSize))}
	for {
		obj, err := w.next(ctx)
		if err != nil {
			return nil, err
		}
		if obj == nil {
			return page, b.fs.present()
		}
		if len(page.Objects) == size {
			w.ahead = obj
			last := page.Objects[size-1]
			page.NextPageToken = makeToken(b.parked.put(w), position{key: last.Key, under: last.IsDir})
			return page, nil
		}
		page.Objects = append(page.Objects, obj)
	}
}

// position is a position in the listing: after key, and if under is set, also
// after all keys with the prefix key.
type position struct {
	key   string
	under bool
}

func (p position) passed(key string) bool {
	return key <= p.key || p.under && strings.HasPrefix(key, p.key)
}

// passedAll reports whether every key with the prefix folder is passed.
func (p position) passedAll(folder string) bool {
	return folder < p.key && !strings.HasPrefix(p.key, folder) || p.under && strings.HasPrefix(folder, p.key)
}

// A token consists of the ID of the parked walk, the kind of the position, and
// its key.
const (
	afterKey   = 'k'
	afterUnder = 'u'
)

func makeToken(id string, p position) []byte {
	kind := byte(afterKey)
	if p.under {
		kind = afterUnder
	}
	return append(append([]byte(id), kind), p.key...)
}

func parseToken(token []byte) (id string, p position, err error) {
	if len(token) <= idLen || token[idLen] != afterKey && token[idLen] != afterUnder {
		return "", p, &codedError{code: gcerrors.InvalidArgument, msg: "localblob: invalid page token: want a token returned by a listing of this bucket"}
	}
	return string(token[:idLen]), position{key: string(token[idLen+1:]), under: token[idLen] == afterUnder}, nil
}

// walk visits the objects in the order of their keys. It holds the entries of
// the folders on the path to its position.
type walk struct {
	b         *bucket
	prefix    string
	delimiter string
	from      position
	stack     []*folder
	ahead     *driver.ListObject // already found, for the next page
}

type folder struct {
	path    string // relative to the root; "" is the root
	key     string // prefix of its keys: "" or with a slash at the end
	entries []entry
	dir     *os.Root // open while a page is built
}

// entry is a file or a folder. part is its part of the key, for a folder
// including the slash.
type entry struct {
	part string
	name string
	dir  bool
}

// start pushes the folder with all keys that have the prefix.
func (w *walk) start() {
	under := w.prefix[:strings.LastIndex(w.prefix, "/")+1]
	top := path.Dir(escapeKey(under + "x"))
	if top == "." {
		w.stack = append(w.stack, &folder{})
	} else if validFolder(top) {
		w.stack = append(w.stack, &folder{path: top, key: unescape(top) + "/"})
	}
	// An object named exactly like the prefix, such as "a/", is a file outside
	// the folder "a". It comes first.
	if name, err := fileName(under, false); err == nil && under == w.prefix && path.Dir(name) != top {
		dir, base := path.Split(name)
		w.stack = append(w.stack, &folder{
			path:    strings.TrimSuffix(dir, "/"),
			key:     unescape(dir),
			entries: []entry{{part: unescape(base), name: base}},
		})
	}
}

// validFolder reports whether keys can have files in the folder.
func validFolder(name string) bool {
	if name == uploadsDir {
		return true
	}
	segments := strings.Split(name, "/")
	return !strings.EqualFold(segments[0], privateDir) && !slices.ContainsFunc(segments, func(s string) bool {
		return badSegment(s) != "" || len(s) > maxName
	})
}

// next returns the next object, or nil after the last one.
func (w *walk) next(ctx context.Context) (*driver.ListObject, error) {
	if obj := w.ahead; obj != nil {
		w.ahead = nil
		return obj, nil
	}
	for len(w.stack) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f := w.stack[len(w.stack)-1]
		if f.entries == nil {
			if err := w.read(f); err != nil {
				return nil, keyError("list", cmp.Or(f.path, "."), err)
			}
		}
		if len(f.entries) == 0 || w.from.under && strings.HasPrefix(f.key, w.from.key) {
			w.pop()
			continue
		}
		e := f.entries[0]
		f.entries = f.entries[1:]
		key := f.key + e.part
		switch {
		case e.dir:
			if !w.from.passedAll(key) && (strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)) {
				w.stack = append(w.stack, &folder{path: path.Join(f.path, e.name), key: key})
			}
		case w.from.passed(key):
		case !strings.HasPrefix(key, w.prefix):
			if key > w.prefix {
				w.closeDirs()
				w.stack = nil
			}
		default:
			obj, err := w.object(f, e, key)
			if obj != nil || err != nil {
				return obj, keyError("list", key, err)
			}
		}
	}
	return nil, nil
}

// object describes the entry, or the group of keys up to the delimiter.
func (w *walk) object(f *folder, e entry, key string) (*driver.ListObject, error) {
	if w.delimiter != "" {
		if i := strings.Index(key[len(w.prefix):], w.delimiter); i >= 0 {
			group := key[:len(w.prefix)+i+len(w.delimiter)]
			w.from = position{key: group, under: true}
			return &driver.ListObject{Key: group, IsDir: true}, nil
		}
	}
	if err := w.open(f); err != nil {
		return nil, gone(err)
	}
	fi, err := f.dir.Lstat(e.name)
	if err != nil || !fi.Mode().IsRegular() {
		return nil, gone(err)
	}
	return &driver.ListObject{Key: key, ModTime: fi.ModTime(), Size: fi.Size()}, nil
}

// gone returns nil for the error of a file or folder that was removed during
// the walk, and err otherwise.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// read sets the entries of f, sorted by key.
func (w *walk) read(f *folder) error {
	f.entries = []entry{}
	if err := w.open(f); err != nil {
		return gone(err)
	}
	d, err := f.dir.Open(".")
	if err != nil {
		return gone(err)
	}
	defer d.Close()
	found, err := readDir(d)
	if err != nil {
		return gone(err)
	}
	f.entries = make([]entry, 0, len(found))
	for _, de := range found {
		name := de.Name()
		switch {
		case f.path == "" && strings.EqualFold(name, privateDir):
		case !de.IsDir() && (!de.Type().IsRegular() || strings.HasSuffix(name, attrsExt)):
		case !canonical(f.path, name, de.IsDir()):
		case de.IsDir():
			f.entries = append(f.entries, entry{part: unescape(name) + "/", name: name, dir: true})
		default:
			f.entries = append(f.entries, entry{part: unescape(name), name: name})
		}
	}
	// The file "a/" comes before the folder "a/", because the keys of the
	// folder are longer.
	slices.SortFunc(f.entries, func(a, b entry) int {
		c := strings.Compare(a.part, b.part)
		if c == 0 && a.dir != b.dir {
			c = 1
			if b.dir {
				c = -1
			}
		}
		return c
	})
	return nil
}

func (w *walk) open(f *folder) (err error) {
	if f.dir != nil {
		return nil
	}
	if f.dir, err = w.b.fs.root.OpenRoot(cmp.Or(f.path, ".")); err == nil {
		return nil
	}
	// For a file, OpenRoot returns an error that errors.Is does not recognize.
	if fi, statErr := w.b.fs.root.Stat(cmp.Or(f.path, ".")); statErr == nil && !fi.IsDir() {
		return fs.ErrNotExist
	}
	return err
}

func (w *walk) pop() {
	last := len(w.stack) - 1
	if f := w.stack[last]; f.dir != nil {
		f.dir.Close()
	}
	w.stack = w.stack[:last]
}

// closeDirs closes the folders, so that a parked walk has no open files.
func (w *walk) closeDirs() {
	for _, f := range w.stack {
		if f.dir != nil {
			f.dir.Close()
			f.dir = nil
		}
	}
}
