package blobstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const maxFilename = 255 // bytes, the limit of file systems

// maxMetadata is the space for the application's metadata, in addition to the
// metadata of the store.
var maxMetadata = cloudhttp.MaxMeta - cloudhttp.MetaCost(provider.MetaSHA256, strings.Repeat("0", 2*sha256.Size)) -
	cloudhttp.MetaCost(provider.MetaOp, strings.Repeat("0", 36)) - spareMetadata

// spareMetadata is reserved for one more short value of the store. If such a
// value is added later, the application's space does not shrink.
const spareMetadata = 59

// checkForm checks the options that describe the content and converts them to
// the form returned by every backend.
func (o *UploadOptions) checkForm() error {
	if o.ContentType != "" {
		t, params, err := mime.ParseMediaType(o.ContentType)
		if err != nil || !strings.Contains(t, "/") {
			return fmt.Errorf("invalid content type %.100q: want type/subtype, such as text/plain; charset=utf-8", o.ContentType)
		}
		o.ContentType = mime.FormatMediaType(t, params)
	}
	for i := range len(o.ContentEncoding) {
		if c := o.ContentEncoding[i]; len(o.ContentEncoding) > 100 || c < ' ' || c > '~' {
			return fmt.Errorf("invalid content encoding %.100q: want codings such as gzip or br", o.ContentEncoding)
		}
	}
	if o.ContentEncoding = storedEncoding(o.ContentEncoding); o.ContentEncoding != "" && o.ContentType == "" {
		o.ContentType = "application/octet-stream"
	}
	if o.SHA256 != nil && len(o.SHA256) != sha256.Size {
		return fmt.Errorf("%w: SHA256 has %d bytes, want %d", ErrChecksum, len(o.SHA256), sha256.Size)
	}
	if o.Size < 0 {
		return fmt.Errorf("invalid Size %d: want a positive number, or 0 if unknown", o.Size)
	}
	return nil
}

// metadata checks the options stored with the object and returns them in their
// stored form.
func (o *UploadOptions) metadata() (map[string]string, error) {
	if err := o.checkForm(); err != nil {
		return nil, err
	}
	meta, total := make(map[string]string, len(o.Metadata)+3), 0
	for k, v := range o.Metadata {
		lower := strings.ToLower(k)
		_, twice := meta[lower]
		switch {
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			return nil, fmt.Errorf("metadata %.100q: name and value must be valid UTF-8", k)
		case k == "":
			return nil, errors.New("metadata: empty name")
		case twice:
			return nil, fmt.Errorf("metadata %.100q: duplicate name (names are case-insensitive)", lower)
		case strings.HasPrefix(lower, provider.MetaPrefix):
			return nil, fmt.Errorf("metadata %q: names beginning with %q are reserved", lower, provider.MetaPrefix)
		}
		meta[lower] = v
		total += cloudhttp.MetaCost(lower, v)
	}
	if total > maxMetadata {
		return nil, fmt.Errorf("%w: metadata has %d bytes when escaped, limit %d", ErrTooLarge, total, maxMetadata)
	}
	if left := maxMetadata - total - cloudhttp.MetaCost(provider.MetaFilename, ""); left > 0 {
		if name := cloudhttp.CutEscaped(displayName(o.Filename), left); name != "" {
			meta[provider.MetaFilename] = name
		}
	}
	if o.SHA256 != nil {
		meta[provider.MetaSHA256] = hex.EncodeToString(o.SHA256)
	}
	return meta, nil
}

// appMetadata returns the application's part of an object's metadata.
func appMetadata(meta map[string]string) map[string]string {
	var m map[string]string
	for k, v := range meta {
		if !strings.HasPrefix(k, provider.MetaPrefix) {
			if m == nil {
				m = make(map[string]string)
			}
			m[k] = v
		}
	}
	return m
}

// displayName returns name as valid UTF-8, truncated to maxFilename.
func displayName(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if len(name) <= maxFilename {
		return name
	}
	n := maxFilename
	for !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n]
}

func (o *UploadOptions) details() audit.Details {
	if o.Filename == "" {
		return audit.Details{}
	}
	return audit.Details{Filename: displayName(o.Filename)}
}
