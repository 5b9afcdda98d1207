package tus

// This file implements the spool folder. Each unfinished upload has a content
// file and a note, a small file with its description. After the upload is
// stored, the spool removes the content and marks the note as done. A client
// that did not get the response can then still learn the result.

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"

	"github.com/blobtrail/blobtrail/internal/progress"
)

const (
	noteExt = ".json"
	newExt  = ".new" // extension of a note while it is written
	lockExt = "lock"
)

type spool struct {
	dir  string
	root *os.Root
	lock *os.File // open while the folder is in use
}

// note is the JSON content of a note file.
type note struct {
	Info  handler.FileInfo `json:"info"`
	Key   string           `json:"key"`
	Owner string           `json:"owner"`
	Begun time.Time        `json:"begun"`
	Done  bool             `json:"done"`
}

// spooled is an upload in the spool folder.
type spooled struct {
	spool *spool
	info  handler.FileInfo // includes the current offset
	key   string
	owner string
	begun time.Time
	done  bool // stored as an object; its content file is removed
}

func openSpool(dir string) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &spool{dir: dir, root: root}
	if s.lock, err = root.OpenFile(lockExt, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := lockFile(s.lock); err != nil {
		return nil, errors.Join(fmt.Errorf("the folder %s is in use by another process: %w", dir, err), s.close())
	}
	return s, nil
}

func (s *spool) close() error { return errors.Join(s.lock.Close(), s.root.Close()) }

// create adds a new upload to the folder.
func (s *spool) create(info handler.FileInfo, key, owner string) (*spooled, error) {
	info.ID = newID()
	u := &spooled{spool: s, info: info, key: key, owner: owner, begun: time.Now()}
	f, err := s.root.OpenFile(info.ID, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Sync(), f.Close(), u.writeNote()); err != nil {
		return nil, errors.Join(err, u.remove())
	}
	return u, nil
}

// open returns an existing upload.
func (s *spool) open(id string) (*spooled, error) {
	if !isID(id) {
		return nil, handler.ErrNotFound
	}
	raw, err := s.root.ReadFile(id + noteExt)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, handler.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	var n note
	if err := json.Unmarshal(raw, &n); err != nil {
		return nil, fmt.Errorf("reading the note of upload %s: %w", id, err)
	}
	u := &spooled{spool: s, info: n.Info, key: n.Key, owner: n.Owner, begun: n.Begun, done: n.Done}
	if n.Done {
		u.info.Offset = n.Info.Size
		return u, nil
	}
	f, err := s.root.OpenFile(id, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, handler.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil {
		u.info.Offset = fi.Size()
	}
	// A killed process may have left its last bytes unsynced.
	return u, errors.Join(err, f.Sync(), f.Close())
}

// ids returns the IDs of all uploads with a file in the folder.
func (s *spool) ids() ([]string, error) {
	entries, err := fs.ReadDir(s.root.FS(), ".") // sorted, so the files of an upload are adjacent
	var ids []string
	for _, e := range entries {
		id := strings.TrimSuffix(strings.TrimSuffix(e.Name(), newExt), noteExt)
		if isID(id) && (len(ids) == 0 || ids[len(ids)-1] != id) {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// files returns the possible file names of an upload.
func files(id string) [3]string { return [...]string{id + noteExt, id, id + noteExt + newExt} }

// remnant returns an incomplete upload, left by a process that was killed while
// it created or removed the upload. Its time is that of the last change.
// remnant returns nil if no file exists.
func (s *spool) remnant(id string) (*spooled, error) {
	u := &spooled{spool: s, info: handler.FileInfo{ID: id}}
	found := false
	for _, name := range files(id) {
		fi, err := s.root.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if found = true; fi.ModTime().After(u.begun) {
			u.begun = fi.ModTime()
		}
	}
	if !found {
		return nil, nil
	}
	return u, nil
}

// complete reports whether all content has arrived.
func (u *spooled) complete() bool { return u.info.Offset == u.info.Size }

// write appends the content of src. It returns the number of durable bytes.
func (u *spooled) write(offset int64, src io.Reader) (int64, error) {
	f, err := u.spool.root.OpenFile(u.info.ID, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	if _, err = f.Seek(offset, io.SeekStart); err == nil {
		n, err = io.Copy(f, progress.Reader(src))
	}
	err = errors.Join(err, f.Sync(), f.Close())
	u.info.Offset = offset + n
	return n, err
}

func (u *spooled) content() (*os.File, error) { return u.spool.root.Open(u.info.ID) }

// finished marks the upload as stored and removes its content.
func (u *spooled) finished() error {
	u.done = true
	if err := u.writeNote(); err != nil {
		return err
	}
	return u.spool.root.Remove(u.info.ID)
}

// remove deletes all files of the upload.
func (u *spooled) remove() error {
	for _, name := range files(u.info.ID) {
		if err := u.spool.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// writeNote replaces the note file.
func (u *spooled) writeNote() error {
	raw, err := json.Marshal(note{u.info, u.key, u.owner, u.begun, u.done})
	if err != nil {
		return err
	}
	name := u.info.ID + noteExt
	f, err := u.spool.root.OpenFile(name+newExt, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := u.spool.root.Rename(name+newExt, name); err != nil {
		return err
	}
	return syncDir(filepath.Clean(u.spool.dir))
}

// newID generates an ID that cannot be guessed.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
