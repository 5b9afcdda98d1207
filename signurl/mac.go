package signurl

// This file implements the signed form of a grant. The MAC covers the texts of
// the parameters, so it can be verified before any of them is parsed.

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"strconv"
	"sync"
	"time"
)

const (
	domain  = "blobtrail link\x00" // no other use of the same secret can produce this prefix
	version = 1
	prefix  = "bt-" // prefix of all parameters

	maxTime = 253402300799 // the end of the year 9999

	versionParam   = prefix + "v"
	signatureParam = prefix + "sig"
)

// These are the signed fields, in signing order.
const (
	fAudience = iota // the audience is not in the URL
	fKey             // the key is in the path
	fKeyID
	fMethod
	fExpires
	fGrantID
	fContentType
	fSize
	fMaxSize
	fSHA256
	fCreateOnly
	fFilename
	fInline
	fResponseType
	fUserID
	fIP
	fMaxUses
	numFields
)

// params contains the parameter name of each field. Sign writes the parameters
// in this order.
var params = [numFields]string{
	fKeyID: prefix + "kid", fMethod: prefix + "m", fExpires: prefix + "exp", fGrantID: prefix + "gid",
	fContentType: prefix + "ct", fSize: prefix + "len", fMaxSize: prefix + "max",
	fSHA256: prefix + "sha256", fCreateOnly: prefix + "new",
	fFilename: prefix + "fn", fInline: prefix + "inl", fResponseType: prefix + "rt",
	fUserID: prefix + "uid", fIP: prefix + "ip", fMaxUses: prefix + "uses",
}

// fields contains the texts of a link. A missing text is empty, because no
// parameter may be empty.
type fields [numFields]string

func (f *fields) set(l *Grant) {
	f[fKey], f[fMethod], f[fGrantID] = l.Key, l.Method, l.ID
	f[fExpires] = strconv.FormatInt(l.Expires.Unix(), 10)
	f[fContentType] = l.ContentType
	if l.Size != 0 {
		f[fSize] = strconv.FormatInt(l.Size, 10)
	}
	if l.MaxSize != 0 {
		f[fMaxSize] = strconv.FormatInt(l.MaxSize, 10)
	}
	if l.SHA256 != nil {
		f[fSHA256] = hex.EncodeToString(l.SHA256)
	}
	if l.CreateOnly {
		f[fCreateOnly] = "1"
	}
	f[fFilename] = l.Filename
	if l.Inline {
		f[fInline] = "1"
	}
	f[fResponseType], f[fUserID], f[fIP] = l.ResponseType, l.UserID, l.IP
	if l.MaxUses != 0 {
		f[fMaxUses] = strconv.Itoa(l.MaxUses)
	}
}

// grant parses fields after their MAC was verified. It refuses a form that Sign
// never writes, because another implementation may have signed it and each text
// must have one meaning.
func (f *fields) grant() (Grant, error) {
	l := Grant{
		Method: f[fMethod], Key: f[fKey], ID: f[fGrantID],
		ContentType: f[fContentType], CreateOnly: f[fCreateOnly] != "",
		Filename: f[fFilename], Inline: f[fInline] != "", ResponseType: f[fResponseType],
		UserID: f[fUserID], IP: f[fIP],
	}
	if f[fMethod] == "" || f[fExpires] == "" || f[fGrantID] == "" {
		return l, errors.New("a required parameter is missing")
	}
	exp, err := strconv.ParseInt(f[fExpires], 10, 64)
	if err != nil || exp > maxTime {
		return l, errors.New(params[fExpires] + " is not a time")
	}
	l.Expires = time.Unix(exp, 0).UTC()
	if f[fSize] != "" {
		if l.Size, err = strconv.ParseInt(f[fSize], 10, 64); err != nil {
			return l, errors.New(params[fSize] + " is not a number of bytes")
		}
	}
	if f[fMaxSize] != "" {
		if l.MaxSize, err = strconv.ParseInt(f[fMaxSize], 10, 64); err != nil {
			return l, errors.New(params[fMaxSize] + " is not a number of bytes")
		}
	}
	if f[fSHA256] != "" {
		if l.SHA256, err = hex.DecodeString(f[fSHA256]); err != nil {
			return l, errors.New(params[fSHA256] + " is not hexadecimal")
		}
	}
	if f[fMaxUses] != "" {
		if l.MaxUses, err = strconv.Atoi(f[fMaxUses]); err != nil {
			return l, errors.New(params[fMaxUses] + " is not a number")
		}
	}
	if err := l.normalize(); err != nil {
		return l, err
	}
	again := fields{fAudience: f[fAudience], fKeyID: f[fKeyID]}
	again.set(&l)
	if again != *f {
		return l, errors.New("a parameter is not in canonical form")
	}
	return l, nil
}

func (f *fields) appendMessage(b []byte) []byte {
	b = append(b, domain...)
	b = append(b, version)
	for i := range f {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f[i]))) // every field is far shorter than 65,535 bytes
		b = append(b, f[i]...)
	}
	return b
}

// macKey is a key prepared for signing. An HMAC is cheaper if it starts from
// its keyed state, which hash.Hash.Reset restores, so the states are pooled.
// The pool is a pointer, so that printing a macKey does not reveal anything
// derived from the secret.
type macKey struct {
	id   string
	pool *sync.Pool // a pool of *macState
}

type macState struct {
	mac hash.Hash
	buf []byte
	sum [sha256.Size]byte
}

func newMACKey(k Key) *macKey {
	secret := []byte(k.secret.Reveal())
	return &macKey{k.ID, &sync.Pool{New: func() any {
		return &macState{mac: hmac.New(sha256.New, secret), buf: make([]byte, 0, 512)}
	}}}
}

func (k *macKey) get() *macState   { return k.pool.Get().(*macState) }
func (k *macKey) put(st *macState) { k.pool.Put(st) }

// compute stores the MAC of f in st.sum.
func (st *macState) compute(f *fields) {
	st.buf = f.appendMessage(st.buf[:0])
	st.mac.Reset()
	st.mac.Write(st.buf)
	st.mac.Sum(st.sum[:0])
}

const sigLen = 43 // characters of 32 bytes in base64url without padding

func (st *macState) appendSignature(b []byte) []byte {
	return base64.RawURLEncoding.AppendEncode(b, st.sum[:])
}

// parseSignature is strict: each MAC has exactly one text.
func parseSignature(s string) (sig [sha256.Size]byte, ok bool) {
	if len(s) != sigLen {
		return sig, false
	}
	n, err := strictBase64.Decode(sig[:], []byte(s))
	return sig, err == nil && n == len(sig)
}

var strictBase64 = base64.RawURLEncoding.Strict()
