package signurl

// This file implements the content of a link and its rules. Sign refuses a
// grant that no handler can enforce.

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
	maxGrantID = 64  // in bytes
	maxText    = 255 // bytes of a file name, a media type or a user ID
)

// Grant is the content of a link: one method on one key until the expiry, under
// constraints. Anyone with the URL can read all of it, but cannot change it.
type Grant struct {
	// Method is GET, HEAD, PUT or DELETE. An empty Method means GET. A GET link
	// permits HEAD too.
	Method string
	// Key is the object's key: valid UTF-8 of at most 1,024 bytes, without
	// control characters, backslashes, empty segments and dot segments.
	Key string
	// Expires is the expiry of the link, truncated to seconds. It must be in
	// the future, by at most Options.MaxExpiry.
	Expires time.Time
	// ID is the grant ID. It connects the issue of the link to its uses in the
	// trail. It has at most 64 characters of A-Z a-z 0-9 - . _ ~. If it is
	// empty, Sign generates one. To know the ID in advance, call [NewGrantID].
	ID string

	// The following fields constrain the content of a PUT. Verify checks the
	// headers, and Body checks the content.

	// ContentType, if set, is the required media type of the request. Case,
	// spacing and the order of its parameters are ignored.
	ContentType string
	// Size is the exact size of the body in bytes. 0 permits any size.
	Size int64
	// MaxSize is the maximum size of the body in bytes. 0 means unlimited.
	MaxSize int64
	// SHA256, if set, is the 32-byte hash of the content.
	SHA256 []byte
	// CreateOnly means that an existing object must not be replaced. The code
	// that stores the object enforces it.
	CreateOnly bool

	// The following fields describe the response to a GET or HEAD. The code
	// that serves the object applies them.

	// Filename is the suggested name for saving: valid UTF-8 without control
	// characters and slashes.
	Filename string
	// Inline asks the browser to display the content instead of saving it.
	Inline bool
	// ResponseType is the media type of the response.
	ResponseType string

	// The following fields restrict the use of the link. CheckActor checks
	// UserID and IP.

	// UserID, if set, is the only user who may use the link.
	UserID string
	// IP, if set, is the only address that may use the link. IPv4 in IPv6 is
	// signed as IPv4. A zone is refused.
	IP string
	// MaxUses is the maximum number of uses. 0 means unlimited. [Grants] counts
	// the uses.
	MaxUses int
}

// NewGrantID generates a random grant ID of 26 letters and digits.
func NewGrantID() string { return rand.Text() }

// CheckActor compares UserID and IP with the sender of the request, as the
// application knows it. ip must be the client's address, not a proxy's.
// CheckActor returns [ErrUser] or [ErrAddress], which quote neither side. An
// empty or malformed argument never matches a restriction.
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

// normalize sets defaults and returns an error if the grant cannot be signed.
// It does not check the expiry, which requires the signer's clock. Verify also
// calls normalize, because other implementations may have signed the link.
func (l *Grant) normalize() error {
	if l.Method == "" {
		l.Method = http.MethodGet
	}
	switch l.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
	default:
		return errors.New("invalid Method: want GET, HEAD, PUT or DELETE, in capitals")
	}
	if err := l.checkFields(); err != nil {
		return err
	}
	if l.ID == "" {
		l.ID = NewGrantID()
	} else if len(l.ID) > maxGrantID || !only(l.ID, func(c byte) bool { return unreserved[c] }) {
		return fmt.Errorf("invalid ID: want at most %d characters of A-Z a-z 0-9 - . _ ~", maxGrantID)
	}
	if l.IP != "" {
		a, err := netip.ParseAddr(l.IP)
		if err != nil || a.Zone() != "" {
			return errors.New("invalid IP: want an IPv4 or IPv6 address without port and zone")
		}
		l.IP = a.Unmap().String()
	}
	return nil
}

// checkFields refuses invalid fields. normalize checks Method, ID and IP.
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
		return errors.New("invalid Filename: want a name without slashes")
	}
	if err := checkMediaType("ResponseType", l.ResponseType); err != nil {
		return err
	}
	if err := checkText("UserID", l.UserID); err != nil {
		return err
	}
	if l.MaxUses < 0 {
		return errors.New("MaxUses is negative: want a positive number, or 0 for unlimited")
	}
	return nil
}

func (l *Grant) checkUpload() error {
	if err := checkMediaType("ContentType", l.ContentType); err != nil {
		return err
	}
	if l.MaxSize < 0 {
		return errors.New("MaxSize is negative: want a number of bytes, or 0 for unlimited")
	}
	if l.Size < 0 {
		return errors.New("Size is negative: want a number of bytes, or 0 for any size")
	}
	if l.MaxSize != 0 && l.Size > l.MaxSize {
		return errors.New("Size is greater than MaxSize: want at most MaxSize")
	}
	if l.SHA256 != nil && len(l.SHA256) != sha256.Size {
		return fmt.Errorf("SHA256 has %d bytes: want %d", len(l.SHA256), sha256.Size)
	}
	return nil
}

// checkText refuses text that could break a header or a log line.
func checkText(name, s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxText {
		return fmt.Errorf("%s is longer than %d bytes", name, maxText)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("invalid %s: want valid UTF-8 without control characters", name)
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
		return fmt.Errorf(`invalid %s: want a media type such as "application/pdf"`, name)
	}
	return nil
}

// sameMediaType compares media types as specified in RFC 9110, section 8.3.1:
// names ignoring case, values exactly.
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
