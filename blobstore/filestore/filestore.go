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
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

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
	for scheme, open := range map[string]func(*url.URL) (driver.Bucket, error){"local": openLocal, "file": openFile} {
		driver.Register(scheme, func(_ context.Context, u *url.URL, _ driver.Credentials) (driver.Bucket, error) {
			b, err := open(u)
			if err != nil {
				return nil, fmt.Errorf("%s://: %w", scheme, err)
			}
			return b, nil
		})
	}
}

// folder returns the absolute path of the folder that a URL names. It must exist
// unless create is set.
func folder(u *url.URL, create bool) (dir string, err error) {
	path := u.Path
	if u.Host != "" {
		path = u.Host + u.Path // local://./uploads and local://uploads are relative
	}
	if path == "" {
		return "", fmt.Errorf("the URL names no folder: want %s:///absolute/path or %s://./relative", u.Scheme, u.Scheme)
	}
	if dir, err = filepath.Abs(filepath.FromSlash(path)); err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); !create && errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("the folder %s does not exist: make it, or add ?create=true: %w", dir, err)
	}
	return dir, nil
}

// identity is the name of a folder in the trail: the same by whichever path, so
// that each store of it settles what the others left.
func identity(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}
