// Listing: one walk of the folders in the order of the keys, cut into pages.

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

// ListPaged implements driver.Bucket. A page goes on where the one before it stopped: with the walk itself if it is
// still parked, otherwise by descending to the place that the token names.
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
		return nil, err // an empty listing would say that nothing is there
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

// position is a place in the listing: after key, and with under also after all keys that begin with it.
type position struct {
	key   string
	under bool
}

func (p position) passed(key string) bool {
	return key <= p.key || p.under && strings.HasPrefix(key, p.key)
}

// passedAll reports whether every key that begins with the folder's is passed.
func (p position) passedAll(folder string) bool {
	return folder < p.key && !strings.HasPrefix(p.key, folder) || p.under && strings.HasPrefix(folder, p.key)
}

// A token is the id of the parked walk, which of the two kinds the position is, and its key.
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
		return "", p, &codedError{code: gcerrors.InvalidArgument, msg: "localblob: the page token is not one that a listing of this bucket returned"}
	}
	return string(token[:idLen]), position{key: string(token[idLen+1:]), under: token[idLen] == afterUnder}, nil
}

// walk visits the objects in the order of their keys. It holds the entries of the folders on the way to where it is.
type walk struct {
	b         *bucket
	prefix    string
	delimiter string
	from      position
	stack     []*folder
	ahead     *driver.ListObject // found already, for the next page
}

type folder struct {
	path    string // below the root; "" is the root
	key     string // what its keys begin with: "" or with a slash at the end
	entries []entry
	dir     *os.Root // open while a page is made
}

// entry is a file or a folder: its name, and its part of the key (of a folder with the slash).
type entry struct {
	part string
	name string
	dir  bool
}

// start puts the folder on the stack that holds every key with the prefix.
func (w *walk) start() {
	under := w.prefix[:strings.LastIndex(w.prefix, "/")+1]
	top := path.Dir(escapeKey(under + "x"))
	if top == "." {
		w.stack = append(w.stack, &folder{})
	} else if validFolder(top) {
		w.stack = append(w.stack, &folder{path: top, key: unescape(top) + "/"})
	}
	// The object that is named exactly as the prefix, "a/", is a file outside the folder "a". It comes first.
	if name, err := fileName(under, false); err == nil && under == w.prefix && path.Dir(name) != top {
		dir, base := path.Split(name)
		w.stack = append(w.stack, &folder{
			path:    strings.TrimSuffix(dir, "/"),
			key:     unescape(dir),
			entries: []entry{{part: unescape(base), name: base}},
		})
	}
}

// validFolder reports whether the folder can hold the files of keys.
func validFolder(name string) bool {
	if name == uploadsDir {
		return true
	}
	segments := strings.Split(name, "/")
	return !strings.EqualFold(segments[0], privateDir) && !slices.ContainsFunc(segments, func(s string) bool {
		return badSegment(s) != "" || len(s) > maxName
	})
}

// next gives the next object, or nil after the last.
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

// object describes the entry, or the group of keys up to the delimiter that it begins.
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

// gone drops the error of a file or folder that was removed during the walk.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// read fills in the entries of f, sorted by key.
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
	// The file "a/" comes before the folder "a/", whose keys are longer.
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
	// A file has an error of its own there, which errors.Is does not know.
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

// closeDirs closes the folders, so that a parked walk holds no file open.
func (w *walk) closeDirs() {
	for _, f := range w.stack {
		if f.dir != nil {
			f.dir.Close()
			f.dir = nil
		}
	}
}
