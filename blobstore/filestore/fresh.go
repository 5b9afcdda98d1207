package filestore

// This file recognizes a folder that was never used, such as the one where a
// volume should be mounted.

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/blobtrail/blobtrail/internal/keyrule"
)

// origin says where a folder came from.
type origin struct {
	dir  string
	made string // the uppermost folder that opening made; empty: it was there
}

// originOf is called before the folder is made.
func originOf(dir string) origin {
	o := origin{dir: dir}
	for up := filepath.Clean(dir); ; up = filepath.Dir(up) {
		if _, err := os.Stat(up); !errors.Is(err, fs.ErrNotExist) || filepath.Dir(up) == up {
			return o
		}
		o.made = up
	}
}

// marker is the folder that both drivers make with the first write.
func (o *origin) marker() string { return filepath.Join(o.dir, keyrule.Private) }

// fresh reports whether the folder was made by this process, or holds neither
// the library's own folder nor anything else but hidden files and lost+found, as
// a new file system does.
func (o *origin) fresh() (fresh bool, confirm string) {
	confirm = "make the folder " + o.marker() + " by hand"
	if o.made != "" {
		return true, confirm
	}
	if _, err := os.Lstat(o.marker()); err == nil {
		return false, ""
	}
	d, err := os.Open(o.dir)
	if err != nil {
		return false, "" // which every use of the folder reports
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(100)
		for _, name := range names {
			if !strings.HasPrefix(name, ".") && name != "lost+found" {
				return false, ""
			}
		}
		if err != nil { // the end
			return true, confirm
		}
	}
}

// undo removes the folders that opening made, as far as they are empty.
func (o *origin) undo() error {
	if o.made == "" {
		return nil
	}
	for dir := o.dir; ; dir = filepath.Dir(dir) {
		if err := os.Remove(dir); err != nil || dir == o.made {
			return err
		}
	}
}
