package signurl_test

// This file tests keys: parsing and encoding them, and that no form of printing
// reveals the secret.

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/signurl"
)

func TestKeyRoundTrip(t *testing.T) {
	a, b := signurl.GenerateKey(), signurl.GenerateKey()
	assert.NotEqual(t, a.ID, b.ID)
	assert.NotEqual(t, a.Encode(), b.Encode())
	keys, err := signurl.ParseKeys(" " + a.Encode() + " ,\n" + b.Encode() + "\n")
	require.NoError(t, err)
	require.Len(t, keys, 2)
	assert.Equal(t, a.Encode(), keys[0].Encode())
	assert.Equal(t, b.Encode(), keys[1].Encode())
	assert.Equal(t, "", signurl.Key{}.Encode())
}

func TestNewKeyCopies(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	k, err := signurl.NewKey("k", secret)
	require.NoError(t, err)
	before := k.Encode()
	clear(secret)
	assert.Equal(t, before, k.Encode())
}

func TestParseKeysRefuses(t *testing.T) {
	secret := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("s3cr3t!"), 5))
	good := "k1:" + secret
	for name, c := range map[string]struct{ in, want string }{
		"nothing":               {" ", "no keys"},
		"no colon":              {secret, "key 1: no colon"},
		"no ID":                 {":" + secret, "key 1: invalid ID"},
		"ID with a space":       {"k 1:" + secret, "key 1: invalid ID"},
		"ID too long":           {strings.Repeat("k", 33) + ":" + secret, "key 1: invalid ID"},
		"secret and ID swapped": {secret + ":k1k1", "key 1: invalid ID"},
		"not base64":            {"k1:" + secret + "!", "key 1: invalid secret: want base64url"},
		"padded":                {"k1:" + base64.URLEncoding.EncodeToString(make([]byte, 32)), "key 1: invalid secret: want base64url"},
		"line break inside":     {"k1:" + secret[:9] + "\n" + secret[9:], "key 1: invalid secret: want base64url"},
		"too short":             {good + ",k2:" + secret[:40], "key 2: the secret has 30 bytes: want 32 to 1024"},
		"too long":              {"k1:" + strings.Repeat("A", 1368), "key 1: the secret has 1026 bytes"},
		"empty element":         {good + ",", "key 2: no colon"},
		"same ID twice":         {good + "," + good, "keys 1 and 2 have the same ID"},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := signurl.ParseKeys(c.in)
			require.ErrorContains(t, err, c.want)
			assert.Nil(t, keys)
			assert.NotContains(t, err.Error(), secret[:8])
		})
	}
}

func TestNewKeyRefuses(t *testing.T) {
	_, err := signurl.NewKey("k", make([]byte, 31))
	require.ErrorContains(t, err, "the secret has 31 bytes")
	_, err = signurl.NewKey("", make([]byte, 32))
	require.ErrorContains(t, err, "invalid ID")
}

func TestKeyNeverPrints(t *testing.T) {
	secret := []byte("correct horse battery staple 123")
	k, err := signurl.NewKey("k1", secret)
	require.NoError(t, err)
	s, err := signurl.New(base, []signurl.Key{k}, nil)
	require.NoError(t, err)
	squeeze := func(s string) string {
		return strings.ToLower(strings.NewReplacer(" ", "", ",", "", "0x", "", "[", "", "]", "").Replace(s))
	}
	leaks := func(out string) bool {
		for _, form := range []string{
			string(secret), fmt.Sprintf("%x", secret[:8]), fmt.Sprint(secret[:8]), fmt.Sprintf("%o", secret[:8]),
			fmt.Sprintf("%b", secret[:8]), base64.StdEncoding.EncodeToString(secret)[:20],
		} {
			if strings.Contains(squeeze(out), squeeze(form)) {
				return true
			}
		}
		return false
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "% X", "%#x", "%s", "%q", "%d", "%o", "%b"} {
		require.True(t, leaks(fmt.Sprintf(verb, struct{ s []byte }{secret})), "the test does not see leaks by %s", verb)
	}
	shown := func(t *testing.T, out string) { require.False(t, leaks(out), "printed %q", out) }
	type nested struct {
		Exported   signurl.Key
		unexported signurl.Key
		list       []signurl.Key
		signer     *signurl.Signer
	}
	for name, v := range map[string]any{
		"value": k, "pointer": &k, "slice": []signurl.Key{k}, "map": map[string]signurl.Key{"a": k},
		"nested": nested{k, k, []signurl.Key{k}, s}, "nested pointer": &nested{k, k, []signurl.Key{k}, s}, "signer": s,
	} {
		t.Run(name, func(t *testing.T) {
			for _, flag := range []string{"", "+", "#", "-", " ", "0", "20.5"} {
				for verb := 'A'; verb <= 'z'; verb++ {
					shown(t, fmt.Sprintf("%"+flag+string(verb), v))
				}
			}
			shown(t, fmt.Sprint(v)+fmt.Sprintln(v)+fmt.Errorf("%v", v).Error())
			mistake := "no verb"
			shown(t, fmt.Sprintf(mistake, v))
			b, err := json.Marshal(v)
			require.NoError(t, err)
			shown(t, string(b))
			if b, err := xml.Marshal(v); err == nil {
				shown(t, string(b))
			}
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("key", "k", v)
			slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "k", v)
			shown(t, log.String())
		})
	}
	secrettest.HoldsDeep(t, k, string(secret))
	secrettest.HoldsDeep(t, s, string(secret))
	assert.Equal(t, "k1:[redacted]", k.String())
	assert.Equal(t, "k1:[redacted]", fmt.Sprintf("%x", k))
	assert.Equal(t, "k1:[redacted]", fmt.Sprintf("%#v", k))
	b, err := json.Marshal(k)
	require.NoError(t, err)
	assert.Equal(t, `"k1:[redacted]"`, string(b))
	assert.Equal(t, "signurl.Signer(https://files.example.com/files/, k1:[redacted])", fmt.Sprint(s))
}
