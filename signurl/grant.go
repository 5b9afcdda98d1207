package signurl

// This file implements the content of a link, and the rules for it. A grant that no handler could enforce is not signed.

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxGrantID = 64  // bytes
	maxText    = 255 // bytes of a file name, a media type, a user ID
)

// Grant is the content of a link: one method on one key until a time, under constraints. Anyone who holds the URL can
// read all of it, and can change none of it.
type Grant struct {
	// Method is GET (also if empty), HEAD, PUT or DELETE. A GET link is good for HEAD too.
	Method string
	// Key is the object's key: valid UTF-8 of at most 1,024 bytes, without control characters, backslashes, empty
	// segments and dot segments.
	Key string
	// Expires is when the link ends, cut to whole seconds. It must be in the future, by at most Options.MaxExpiry.
	Expires time.Time
	// ID joins the issue and the uses of the link in the trail: at most 64 characters of A-Z a-z 0-9 - . _ ~. If it is
	// empty, Sign generates one. A caller that has to know it calls [NewGrantID] first.
	ID string

	// Constraints on what a PUT stores. Verify checks what the headers show, Body the rest.

	// ContentType, if set, is the media type that the request must have. Case, spacing and the order of parameters do
	// not matter.
	ContentType string
	// Size is the exact size of the body in bytes. 0 allows any size.
	Size int64
	// MaxSize is the largest size of the body in bytes. 0 means unlimited.
	MaxSize int64
	// SHA256, if set, is the 32-byte hash of the content.
	SHA256 []byte
	// CreateOnly is for whoever stores the object: an existing one must not be replaced.
	CreateOnly bool

	// How the answer to a GET or HEAD is to look; for whoever answers.

	// Filename is the name to offer for saving: valid UTF-8 without control characters and slashes.
	Filename string
	// Inline asks for showing instead of saving.
	Inline bool
	// ResponseType is the media type to answer with.
	ResponseType string

	// Bindings, checked by those who know the actor (see CheckActor) and the grants.

	// UserID, if set, is the only user who may use the link.
	UserID string
	// IP, if set, is the only address that may use it. IPv4 in IPv6 is signed as IPv4; a zone is refused.
	IP string
	// MaxUses is the maximum number of uses. 0 means unlimited. [Grants] counts them.
	MaxUses int
}

// NewGrantID makes a random grant ID of 26 letters and digits.
func NewGrantID() string { return rand.Text() }

// CheckActor compares the bindings with the sender of the request, as the application knows it. The address must be the
// client's, not a proxy's. The error is [ErrUser] or [ErrAddress] and quotes neither side. An empty or malformed argument
// never fits a binding.
func (l Grant) CheckActor(userID, ip string) error {
	if l.UserID != "" && l.UserID != userID {
		return ErrUser
	}
	if l.IP != "" {
		want, err := netip.ParseAddr(l.IP)
		got, err2 := netip.ParseAddr(ip)
		if err != nil || err2 != nil || want.Unmap() != got.Unmap() {
			return ErrAddress
		}
	}
	return nil
}

// normalize fills the defaults in and reports what cannot be signed. It does not look at the expiry, which needs the
// signer's clock. Verify calls it too, since links may have been signed elsewhere.
func (l *Grant) normalize() error {
	if l.Method == "" {
		l.Method = http.MethodGet
	}
	switch l.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
	default:
		return errors.New("Method must be GET, HEAD, PUT or DELETE, in capitals")
	}
	if err := l.checkFields(); err != nil {
		return err
	}
	if l.ID == "" {
		l.ID = NewGrantID()
	} else if len(l.ID) > maxGrantID || !only(l.ID, func(c byte) bool { return unreserved[c] }) {
		return fmt.Errorf("ID must be at most %d characters of A-Z a-z 0-9 - . _ ~", maxGrantID)
	}
	if l.IP != "" {
		a, err := netip.ParseAddr(l.IP)
		if err != nil || a.Zone() != "" {
			return errors.New("IP must be an IPv4 or IPv6 address without port and zone")
		}
		l.IP = a.Unmap().String()
	}
	return nil
}

// checkFields refuses what can't be signed, except in Method, ID and IP.
func (l *Grant) checkFields() error {
	if l.Method == http.MethodPut {
		if err := l.checkUpload(); err != nil {
			return err
		}
	} else if l.ContentType != "" || l.Size != 0 || l.MaxSize != 0 || l.SHA256 != nil || l.CreateOnly {
		return errors.New("ContentType, Size, MaxSize, SHA256 and CreateOnly are for PUT only")
	}
	if reads := l.Method == http.MethodGet || l.Method == http.MethodHead; !reads &&
		(l.Filename != "" || l.Inline || l.ResponseType != "") {
		return errors.New("Filename, Inline and ResponseType are for GET and HEAD only")
	}
	if p := keyProblem(l.Key); p != "" {
		return errors.New(p)
	}
	if err := checkText("Filename", l.Filename); err != nil {
		return err
	}
	if strings.ContainsAny(l.Filename, `/\`) {
		return errors.New("Filename must be a name, without slashes")
	}
	if err := checkMediaType("ResponseType", l.ResponseType); err != nil {
		return err
	}
	if err := checkText("UserID", l.UserID); err != nil {
		return err
	}
	if l.MaxUses < 0 {
		return errors.New("MaxUses must not be negative; 0 is unlimited")
	}
	return nil
}

func (l *Grant) checkUpload() error {
	if err := checkMediaType("ContentType", l.ContentType); err != nil {
		return err
	}
	if l.MaxSize < 0 {
		return errors.New("MaxSize must not be negative; 0 is unlimited")
	}
	if l.Size < 0 {
		return errors.New("Size must not be negative; 0 allows any")
	}
	if l.MaxSize != 0 && l.Size > l.MaxSize {
		return errors.New("Size is greater than MaxSize")
	}
	if l.SHA256 != nil && len(l.SHA256) != sha256.Size {
		return fmt.Errorf("SHA256 has %d bytes; want %d", len(l.SHA256), sha256.Size)
	}
	return nil
}

// checkText keeps out what could break a header or a log line.
func checkText(name, s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxText {
		return fmt.Errorf("%s is longer than %d bytes", name, maxText)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%s must be valid UTF-8 without control characters", name)
	}
	return nil
}

func checkMediaType(name, s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxText {
		return fmt.Errorf("%s is longer than %d bytes", name, maxText)
	}
	t, _, err := mime.ParseMediaType(s)
	if err != nil || !strings.Contains(t, "/") || !only(s, func(c byte) bool { return 0x20 <= c && c < 0x7f }) {
		return fmt.Errorf(`%s must be a media type such as "application/pdf"`, name)
	}
	return nil
}

// sameMediaType compares as RFC 9110, 8.3.1 wants it: names without regard to case, values exactly.
func sameMediaType(a, b string) bool {
	if a == b {
		return true
	}
	ta, pa, err := mime.ParseMediaType(a)
	if err != nil {
		return false
	}
	tb, pb, err := mime.ParseMediaType(b)
	if err != nil || ta != tb || len(pa) != len(pb) {
		return false
	}
	for k, v := range pa {
		if w, ok := pb[k]; !ok || v != w {
			return false
		}
	}
	return true
}
