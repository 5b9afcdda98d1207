package blobstore

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/blobtrail/blobtrail/internal/limit"
)

const sniffBytes = 3072 // bytes read by mimetype

// peek reads the bytes needed to detect the content type. It returns them, and
// a reader of the whole content.
func peek(r io.Reader) (head []byte, whole io.Reader, err error) {
	br := bufio.NewReaderSize(r, sniffBytes)
	switch head, err = br.Peek(sniffBytes); err {
	case nil:
		return head, br, nil
	case io.EOF: // bufio would read past the end
		return head, bytes.NewReader(head), nil
	}
	return nil, nil, err
}

// contentType returns the type to store, or an error that wraps ErrContentType.
func (o *UploadOptions) contentType(head []byte) (string, error) {
	found := mimetype.Detect(head)
	declared := o.ContentType
	if declared == "" {
		declared = found.String()
	}
	if len(o.AllowedTypes) == 0 {
		return declared, nil
	}
	if err := o.checkDeclared(o.ContentType); err != nil {
		return "", err
	}
	// The detected type may be more specific than an allowed type: a .docx file
	// is also a ZIP archive.
	for m := found; m != nil; m = m.Parent() {
		root := m.Parent() == nil // every type descends from the root, so the root alone says nothing
		if (!root || m == found) && allowed(baseType(m.String()), o.AllowedTypes) {
			return declared, nil
		}
	}
	return "", limit.Type(ErrContentType, "detected type "+found.String(), o.AllowedTypes)
}

// checkDeclared rejects a declared type outside the allowed types.
func (o *UploadOptions) checkDeclared(declared string) error {
	if declared != "" && !allowed(baseType(declared), o.AllowedTypes) {
		return limit.Type(ErrContentType, fmt.Sprintf("declared type %.100q", declared), o.AllowedTypes)
	}
	return nil
}

func baseType(t string) string {
	t, _, _ = strings.Cut(t, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

func allowed(t string, types []string) bool {
	for _, a := range types {
		a = baseType(a)
		if a == t || a == "*/*" || strings.HasSuffix(a, "/*") && strings.HasPrefix(t, a[:len(a)-1]) {
			return true
		}
	}
	return false
}

const maxContentType = 255 // bytes, the limit of the trail

// declaredType returns the content type declared by a client, in the form
// returned by every backend. It returns "" for a type without information:
// services use octet-stream for content sent without a type, and some clients
// declare all content as form data.
func declaredType(t string) string {
	base, params, err := mime.ParseMediaType(t)
	switch {
	case err != nil, !strings.Contains(base, "/"):
		return ""
	case base == "application/octet-stream", base == "binary/octet-stream", base == "application/x-www-form-urlencoded":
		return ""
	}
	if t = mime.FormatMediaType(base, params); len(t) > maxContentType {
		return ""
	}
	return t
}

// sameType compares two content types, ignoring case and spaces.
func sameType(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, " ", ""), strings.ReplaceAll(b, " ", ""))
}
