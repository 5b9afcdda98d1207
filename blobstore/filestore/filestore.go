// Package filestore is the provider of local files.
//
//	local:///var/lib/app/files      a driver of its own, sound against crashes and races
//	file:///var/lib/app/files       the Go CDK's fileblob, for folders shared with programs that use it
//
// A relative folder is local://./uploads or local://uploads. Both forms take
// create=true, which makes the folder if it is missing. file:// takes the
// parameters of fileblob too, but for metadata=skip, without which a store could
// not recognise its own objects after a crash, and those of fileblob's signer;
// local:// takes dir_mode and file_mode (octal, 0700 and 0600 by default) and
// md5=true, which computes and keeps an MD5 too.
//
// Both are durable: the file, its attributes and its folder are synced before
// an upload succeeds. What file:// cannot promise stands in its Capabilities:
// create-only and the deletion of one version are exact only within one process,
// a crash while an object is replaced can mix the old content with the new
// attributes, and the SHA-256 of a stream is in the trail but not with the object.
//
// Neither can sign links, so that links need Options.Signer and the handler
// blobhttp.Links.
//
// Import it for its side effect:
//
//	import _ "github.com/blobtrail/blobtrail/blobstore/filestore"
package filestore

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// backend is how local files are called in the trail, as in the system that
// this library replaces.
const backend = "local"

const (
	toWrite = "permission to write in the folder and in those below it"
	toRead  = "permission to read in the folder and in those below it"
)

var needs = map[string]string{"write": toWrite, "read": toRead, "list": toRead, "delete": toWrite, "sweep": toWrite}

func init() {
	driver.Register("local", openLocal)
	driver.Register("file", openFile)
}

// folder returns the absolute path of the folder that a URL names, and whether
// it is to be made.
func folder(u *url.URL) (dir string, create bool, err error) {
	path := u.Path
	if u.Host != "" {
		path = u.Host + u.Path // local://./uploads and local://uploads are relative
	}
	if path == "" {
		return "", false, fmt.Errorf("%s:// names no folder: want %s:///absolute/path or %s://./relative", u.Scheme, u.Scheme, u.Scheme)
	}
	if create, err = flag(u.Query(), "create"); err != nil {
		return "", false, err
	}
	if dir, err = filepath.Abs(filepath.FromSlash(path)); err != nil {
		return "", false, err
	}
	if _, err := os.Stat(dir); !create && errors.Is(err, os.ErrNotExist) {
		return "", false, fmt.Errorf("the folder %s does not exist: make it, or add ?create=true: %w", dir, err)
	}
	return dir, create, nil
}

// identity is the name of a folder in the trail: the same by whichever path, so
// that each store of it settles what the others left.
func identity(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}

// flag parses a parameter that is true or false.
func flag(q url.Values, name string) (bool, error) {
	switch v := q.Get(name); v {
	case "true", "1":
		return true, nil
	case "", "false", "0":
		return false, nil
	default:
		return false, fmt.Errorf("%s=%s: want true or false", name, v)
	}
}

// mode parses a parameter that holds octal permissions.
func mode(q url.Values, name string, def os.FileMode) (os.FileMode, error) {
	v := q.Get(name)
	if v == "" {
		return def, nil
	}
	m, err := strconv.ParseUint(v, 8, 12)
	if err != nil {
		return 0, fmt.Errorf("%s=%s: want octal permissions such as 0700", name, v)
	}
	return os.FileMode(m), nil
}

// only refuses parameters that are not known, so that a misspelt one is not
// silently without effect.
func only(q url.Values, names ...string) error {
	known := make(map[string]bool, len(names))
	for _, n := range names {
		known[n] = true
	}
	for n := range q {
		if !known[n] {
			return fmt.Errorf("unknown parameter %q: there are %q", n, names)
		}
	}
	return nil
}
