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

const sniffBytes = 3072 // what mimetype looks at

// peek reads what is needed to find the type of the content, and returns a
// reader of the whole.
func peek(r io.Reader) (head []byte, whole io.Reader, err error) {
	br := bufio.NewReaderSize(r, sniffBytes)
	switch head, err = br.Peek(sniffBytes); err {
	case nil:
		return head, br, nil
	case io.EOF: // bufio would read on after the end
		return head, bytes.NewReader(head), nil
	}
	return nil, nil, err
}

// contentType returns the type to store the content under, or ErrContentType.
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
	// What the content is may be more exact than what is allowed: a .docx is
	// also a ZIP archive.
	for m := found; m != nil; m = m.Parent() {
		root := m.Parent() == nil // the root of all types is no statement about found
		if (!root || m == found) && allowed(baseType(m.String()), o.AllowedTypes) {
			return declared, nil
		}
	}
	return "", limit.Type(ErrContentType, "the content is "+found.String(), o.AllowedTypes)
}

// checkDeclared refuses a declared type that is not among those allowed.
func (o *UploadOptions) checkDeclared(declared string) error {
	if declared != "" && !allowed(baseType(declared), o.AllowedTypes) {
		return limit.Type(ErrContentType, fmt.Sprintf("declared as %.100q", declared), o.AllowedTypes)
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

const maxContentType = 255 // bytes, as the trail keeps it

// declaredType returns the type that something was sent as, in the form in which
// every backend gives it back, or "" if that says nothing: services say
// octet-stream of what was sent without a type, and some clients say form of
// everything.
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

// sameType reports whether two types are one, however they are written.
func sameType(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, " ", ""), strings.ReplaceAll(b, " ", ""))
}
