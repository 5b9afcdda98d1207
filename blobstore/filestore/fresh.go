package filestore

// This file recognizes a folder that was never used, such as an empty folder in
// place of a volume that is not mounted.

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/blobtrail/blobtrail/internal/keyrule"
)

// origin records whether opening the bucket created its folder.
type origin struct {
	dir  string
	made string // topmost folder that was created; empty if all existed
}

// originOf must be called before the folder is created.
func originOf(dir string) origin {
	o := origin{dir: dir}
	for up := filepath.Clean(dir); ; up = filepath.Dir(up) {
		if _, err := os.Stat(up); !errors.Is(err, fs.ErrNotExist) || filepath.Dir(up) == up {
			return o
		}
		o.made = up
	}
}

// marker is a folder that both drivers create with the first write.
func (o *origin) marker() string { return filepath.Join(o.dir, keyrule.Private) }

// fresh reports whether the folder shows no sign of earlier use: this process
// created it, or it contains only hidden files and lost+found, like a new file
// system, and no marker.
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
		return false, "" // every use of the folder reports this error
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(100)
		for _, name := range names {
			if !strings.HasPrefix(name, ".") && name != "lost+found" {
				return false, ""
			}
		}
		if err != nil { // the end of the folder
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
