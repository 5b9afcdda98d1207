package signurl_test

// This file tests the format of the package comment, with its test vector and
// an independent second implementation.

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/signurl"
)

const vector = "https://files.example.com/files/invoices/M%C3%A4rz%201.pdf" +
	"?bt-v=1&bt-kid=k1&bt-m=GET&bt-exp=1893456000&bt-gid=G1&bt-fn=M%C3%A4rz.pdf&bt-uses=1" +
	"&bt-sig=sdNcoBwb7BpEmarNlDOSG8QT16onMKKHezfdXjcKUO8"

func TestVector(t *testing.T) {
	s := newSigner(t, base, nil)
	want := signurl.Grant{Method: "GET", Key: "invoices/März 1.pdf", ID: "G1", Filename: "März.pdf", MaxUses: 1,
		Expires: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	assert.Equal(t, vector, sign(t, s, want))
	got, err := s.Verify(request(t, "GET", vector))
	require.NoError(t, err)
	assert.Equal(t, want, got)

	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	flat := strings.NewReplacer("\n", "", "//\t", "").Replace(string(doc))
	assert.Contains(t, flat, vector, "the package comment shows another link")
}

// reference signs parameters in the order of the package comment.
func reference(secret []byte, audience, key string, params [][2]string) string {
	msg := []byte("blobtrail link\x00\x01")
	field := func(s string) {
		msg = append(msg, byte(len(s)>>8), byte(len(s)))
		msg = append(msg, s...)
	}
	field(audience)
	field(key)
	names := strings.Fields("bt-kid bt-m bt-exp bt-gid bt-ct bt-len bt-max bt-sha256 bt-new bt-fn bt-inl bt-rt bt-uid bt-ip bt-uses")
	for _, name := range names {
		value := ""
		for _, p := range params {
			if p[0] == name {
				value = p[1]
			}
		}
		field(value)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(msg)
	q := url.Values{"bt-v": {"1"}, "bt-sig": {base64.RawURLEncoding.EncodeToString(mac.Sum(nil))}}
	for _, p := range params {
		q.Set(p[0], p[1])
	}
	return "http://elsewhere" + audience + (&url.URL{Path: key}).EscapedPath() + "?" + q.Encode()
}

func TestSecondImplementation(t *testing.T) {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	s := newSigner(t, base, nil)
	required := [][2]string{{"bt-kid", "k1"}, {"bt-m", "PUT"}, {"bt-exp", "1893416400"}, {"bt-gid", "G1"}}

	l, err := s.Verify(request(t, "PUT", reference(secret, "/files/", "in/März 1.pdf", append(required[:4:4],
		[2]string{"bt-ct", "application/pdf"}, [2]string{"bt-len", "5"}, [2]string{"bt-max", "10"},
		[2]string{"bt-sha256", strings.Repeat("ab", 32)}, [2]string{"bt-new", "1"},
		[2]string{"bt-uid", "u&1=2"}, [2]string{"bt-ip", "2001:db8::1"}, [2]string{"bt-uses", "3"})), putHeaders()...))
	require.NoError(t, err)
	want := upload()
	want.Expires = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Add(-11 * time.Hour)
	assert.Equal(t, want, l)

	// A right signature does not excuse what the format does not allow.
	for name, p := range map[string][2]string{
		"number with a leading zero":    {"bt-len", "05"},
		"number with a sign":            {"bt-max", "+5"},
		"negative number":               {"bt-uses", "-1"},
		"zero maximum":                  {"bt-max", "0"},
		"zero uses":                     {"bt-uses", "0"},
		"zero length":                   {"bt-len", "0"},
		"no number":                     {"bt-len", "x"},
		"number too large":              {"bt-max", "9223372036854775808"},
		"flag that is not 1":            {"bt-new", "true"},
		"hash too short":                {"bt-sha256", "abcd"},
		"hash in capitals":              {"bt-sha256", strings.Repeat("AB", 32)},
		"hash that is none":             {"bt-sha256", "zz"},
		"media type without a slash":    {"bt-ct", "pdf"},
		"parameter of another method":   {"bt-fn", "a.pdf"},
		"address in another form":       {"bt-ip", "2001:DB8:0::1"},
		"address that is none":          {"bt-ip", "localhost"},
		"user with a control character": {"bt-uid", "a\nb"},
		"expiry beyond the calendar":    {"bt-exp", "253402300800"},
		"expiry that is no number":      {"bt-exp", "soon"},
		"grant with other characters":   {"bt-gid", "a b"},
		"unknown method":                {"bt-m", "POST"},
		"method in lower case":          {"bt-m", "put"},
	} {
		t.Run(name, func(t *testing.T) {
			ps := append([][2]string{}, required...)
			ps = append(ps, p) // the last of a name wins, in the message and in the URL
			_, err := s.Verify(request(t, "PUT", reference(secret, "/files/", "k", ps)))
			require.ErrorIs(t, err, signurl.ErrSignature)
			assert.NotContains(t, err.Error(), "does not fit", "the reference made another signature than the package")
		})
	}
}

func TestOnlyStandardLibrary(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	assert.Equal(t, []string{"github.com/blobtrail/blobtrail/secret", "github.com/blobtrail/blobtrail/signurl"}, strings.Fields(string(out)))
}
