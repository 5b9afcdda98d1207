// Package filestore is the provider of local files:
//
//	local:///var/lib/app/files   the driver of this library, safe against crashes and races
//	file:///var/lib/app/files    fileblob of the Go CDK, for folders shared with programs that use it
//
// For a relative folder, use local://./uploads or local://uploads. An unknown
// parameter, or a parameter given twice, is an error. Both schemes accept:
//
//	create=true    create the folder if it does not exist
//
// local:// also accepts:
//
//	dir_mode     permissions of new folders, in octal; 0700 by default
//	file_mode    permissions of new files, in octal; 0600 by default
//	md5=true     compute an MD5 as well and store it with the object
//
// file:// also accepts the parameters of fileblob: create_dir, dir_file_mode,
// no_tmp_dir and metadata. It refuses metadata=skip, because a store needs the
// metadata to recognize its own objects after a crash. It does not accept the
// parameters of fileblob's signer.
//
// # Guarantees
//
// Both schemes are durable: the file, its attributes and its folder are synced
// to disk before an upload succeeds. The guarantees of file:// are weaker, as
// its Capabilities report:
//
//   - Create-only writes and the deletion of one version are exact only within
//     one process.
//   - A crash during a replacement can combine the old content with the new
//     attributes.
//   - The SHA-256 of a stream is recorded in the trail, but not stored with the
//     object.
//
// Neither scheme can sign links. For links, set Options.Signer and use the
// handler blobhttp.Links.
//
// # Import
//
// Import the package for its side effect:
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

// backend is the name of local files in the trail. The system replaced by this
// library used the same name.
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

// folder returns the absolute path of the folder in a URL. The folder must
// exist unless create is set.
func folder(u *url.URL, create bool) (dir string, err error) {
	path := u.Path
	if u.Host != "" {
		path = u.Host + u.Path // local://./uploads and local://uploads are relative
	}
	if path == "" {
		return "", fmt.Errorf("the URL has no folder: want %s:///absolute/path or %s://./relative", u.Scheme, u.Scheme)
	}
	if dir, err = filepath.Abs(filepath.FromSlash(path)); err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); !create && errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("the folder %s does not exist: create it, or add ?create=true: %w", dir, err)
	}
	return dir, nil
}

// identity returns the name of a folder in the trail. Every path to a folder
// has the same name, so each store of the folder settles the operations that
// other stores left open.
func identity(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}
