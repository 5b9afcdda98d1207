// The sidecar: a file beside each object that holds its attributes, in the format of fileblob with additions that
// fileblob ignores. The additions are what makes a replacement all-or-nothing though it takes two files.

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

// defaultType is the content type of a file that has no sidecar.
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

// tag names the data file that a record belongs to. Each version's time is later than that of the one it replaces,
// so no two versions have the same tag.
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

// sidecar is the file: the newest record, and, since the sidecar is replaced just before the data file is, the
// record of the version before it.
type sidecar struct {
	record
	Previous *record `json:"blobtrail.previous,omitempty"`
}

// pick gives the record of the data file with this tag. A record without a tag is fileblob's and belongs to whatever
// file is there. If nothing matches, exact is false and the best guess is returned: the newest record, without its
// MD5, because a data file that was changed or copied by hand still has the type and the metadata it had.
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

var errSidecar = errors.New("its attributes file is damaged: it is not the JSON object that was written")

// readSidecar reads the attributes beside the data file name. A missing or empty sidecar (a crash of fileblob leaves
// one) is nil.
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
