// This file implements sidecars. A sidecar is a file next to an object with its
// attributes. The format is that of fileblob, with additional fields that
// fileblob ignores. They make a replacement atomic although it changes two
// files.

package localblob

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"syscall"
)

// defaultType is the content type of a file without a sidecar.
const defaultType = "application/octet-stream"

// record holds the attributes of one version of an object.
type record struct {
	CacheControl       string            `json:"user.cache_control"`
	ContentDisposition string            `json:"user.content_disposition"`
	ContentEncoding    string            `json:"user.content_encoding"`
	ContentLanguage    string            `json:"user.content_language"`
	ContentType        string            `json:"user.content_type"`
	Metadata           map[string]string `json:"user.metadata"`
	MD5                []byte            `json:"md5"`
	Tag                *tag              `json:"blobtrail.tag,omitempty"`
}

// tag identifies the data file of a record. A new version always has a later
// time than the version it replaces, so no two versions have the same tag.
type tag struct {
	Size  int64 `json:"size"`
	MTime int64 `json:"mtime_ns"`
}

func tagOf(fi fs.FileInfo) tag { return tag{Size: fi.Size(), MTime: fi.ModTime().UnixNano()} }

func (t tag) etag() string {
	b := append(make([]byte, 0, 36), '"')
	b = append(strconv.AppendInt(b, t.MTime, 16), '-')
	return string(append(strconv.AppendInt(b, t.Size, 16), '"'))
}

// sidecar is the content of a sidecar file. It holds the newest record. It also
// holds the record of the version before, because the sidecar is replaced
// shortly before the data file.
type sidecar struct {
	record
	Previous *record `json:"blobtrail.previous,omitempty"`
}

// pick returns the record of the data file with tag t. A record without a tag
// was written by fileblob and belongs to any file.
//
// If no record matches, exact is false, and r is the newest record without its
// MD5. This is a guess: a data file that was changed or copied by hand still
// has its old type and metadata.
func (s *sidecar) pick(t tag) (r record, exact bool) {
	switch {
	case s == nil:
		return record{ContentType: defaultType}, false
	case s.Tag == nil || *s.Tag == t:
		return s.record, true
	case s.Previous != nil && s.Previous.Tag != nil && *s.Previous.Tag == t:
		return *s.Previous, true
	}
	r = s.record
	r.MD5 = nil
	return r, false
}

var errSidecar = errors.New("the attributes file is damaged: it is not a valid JSON object")

// readSidecar reads the sidecar of the data file name. It returns nil if the
// sidecar does not exist or is empty. A crash of fileblob leaves an empty
// sidecar.
func (b *bucket) readSidecar(name string) (*sidecar, error) {
	raw, err := b.fs.root.ReadFile(name + attrsExt)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENAMETOOLONG):
		return nil, nil
	case err != nil:
		return nil, err
	case len(raw) == 0:
		return nil, nil
	}
	s := new(sidecar)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("%w (%w)", errSidecar, err)
	}
	return s, nil
}

func (r record) clone() record {
	r.Metadata = maps.Clone(r.Metadata)
	return r
}
