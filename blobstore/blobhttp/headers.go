package blobhttp

// This file implements headers for untrusted content in the application's
// origin, and safe file names.

import (
	"encoding/base64"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Header values shared by all responses. They must not be modified.
var (
	nosniff    = []string{"nosniff"}
	noStore    = []string{"private, no-store"}
	noReferrer = []string{"no-referrer"}
	bytesUnit  = []string{"bytes"}

	// No scripts, forms or plugins, and a separate origin. Only images, text
	// and media are displayed.
	cspSandbox = []string{"default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"}
	// Some PDF viewers do not work in a sandbox. No PDF viewer runs scripts in
	// the origin of the page.
	cspPDF = []string{"default-src 'none'; object-src 'self'; style-src 'unsafe-inline'"}
)

var defaultInlineTypes = []string{
	"application/pdf", "text/plain",
	"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp",
	"audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/webm", "audio/flac", "audio/aac",
	"video/mp4", "video/ogg", "video/webm",
}

// DefaultInlineTypes returns the types a browser may display instead of saving,
// if the link requests it. None of them can contain scripts.
func DefaultInlineTypes() []string { return slices.Clone(defaultInlineTypes) }

const unknownType = "application/octet-stream"

// secure sets the headers of a response with content of type t and the name
// filename.
func secure(h http.Header, t, filename string, inline bool, inlineTypes []string) {
	base, ok := baseType(t)
	if !ok {
		t, base = unknownType, unknownType
	}
	if isScript(base) {
		// A page could load it as a script or style sheet from the
		// application's origin, despite its content security policy.
		t = "text/plain; charset=utf-8"
	}
	kind := "attachment"
	if inline && slices.Contains(inlineTypes, base) {
		kind = "inline"
	}
	csp := cspSandbox
	if kind == "inline" && base == "application/pdf" {
		csp = cspPDF
	}
	h["Content-Type"] = []string{t}
	h["Content-Disposition"] = []string{disposition(kind, filename)}
	h["Content-Security-Policy"] = csp
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	h["Referrer-Policy"] = noReferrer
}

// baseType returns the type in lowercase, without parameters. It returns false
// if t is not a valid type or contains characters not allowed in a header.
func baseType(t string) (string, bool) {
	if !visible(t) {
		return "", false
	}
	if plain, _, found := strings.Cut(t, ";"); !found && slices.Contains(defaultInlineTypes, plain) {
		return plain, true // fast path for common types
	}
	base, _, err := mime.ParseMediaType(t)
	return base, err == nil && strings.Contains(base, "/")
}

// visible reports whether s is valid as a header value.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return s != ""
}

// isScript reports whether browsers treat a type as a script or style sheet
// even with nosniff.
func isScript(base string) bool {
	_, sub, _ := strings.Cut(base, "/")
	sub = strings.TrimPrefix(sub, "x-")
	return sub == "css" || sub == "livescript" || strings.HasPrefix(sub, "javascript") || strings.HasPrefix(sub, "ecmascript") ||
		sub == "jscript" || sub == "xslt+xml" || sub == "xsl" || base == "text/jscript"
}

// disposition returns a Content-Disposition header of RFC 6266. The parameter
// filename* has the exact name. The parameter filename has an ASCII version,
// for old clients.
func disposition(kind, name string) string {
	name = fileName(name)
	var b strings.Builder
	b.Grow(len(kind) + 2*len(name) + 40)
	b.WriteString(kind)
	b.WriteString(`; filename="`)
	plain := true
	if isASCII(name) {
		for i := range len(name) {
			c := name[i]
			if c == '"' || c == '\\' || c == '%' { // clients decode these differently
				c, plain = '_', false
			}
			b.WriteByte(c)
		}
	} else {
		plain = false
		writeASCII(&b, name)
	}
	b.WriteByte('"')
	if plain {
		return b.String()
	}
	b.WriteString("; filename*=UTF-8''")
	const hex = "0123456789ABCDEF"
	for i := range len(name) {
		c := name[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// writeASCII writes name without diacritical marks. Other non-ASCII characters
// become underscores.
func writeASCII(b *strings.Builder, name string) {
	for _, c := range norm.NFKD.String(name) {
		switch {
		case unicode.Is(unicode.Mn, c):
		case c == '"' || c == '\\' || c == '%' || c == '/' || c > 0x7e || c < 0x20:
			b.WriteByte('_')
		default:
			b.WriteRune(c)
		}
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] > 0x7e {
			return false
		}
	}
	return true
}

const maxFileName = 255 // bytes; the limit of file systems

// fileName makes a name safe for display and saving. The result is one path
// segment without control characters. It also has no characters that change the
// direction of text, which could make "exe.fdp" look like "pdf.exe".
func fileName(name string) string {
	name = strings.ToValidUTF8(name, "_")
	name = strings.Map(func(c rune) rune {
		if c == '/' || c == '\\' || unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) || c == '\u2028' || c == '\u2029' {
			return '_'
		}
		return c
	}, name)
	name = strings.TrimSpace(name)
	if len(name) > maxFileName {
		ext := path.Ext(name)
		if len(ext) > 20 {
			ext = ""
		}
		n := maxFileName - len(ext)
		for !utf8.RuneStart(name[n]) {
			n--
		}
		name = name[:n] + ext
	}
	if strings.Trim(name, ".") == "" {
		return "download"
	}
	return name
}

// digest returns a Repr-Digest header of RFC 9530.
func digest(sha []byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sha) + ":"
}
