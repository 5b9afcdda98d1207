package signurl_test

// This file compares the speed of signing with the HMAC signer of the Go CDK's
// file driver.

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/fileblob"

	"github.com/blobtrail/blobtrail/signurl"
)

const benchKey = "invoices/0198f2ab-7c1e-7d43-9f2e-4b8a6a1f0c55_Rechnung.pdf"

func BenchmarkSign(b *testing.B) {
	key := signurl.GenerateKey()
	s, err := signurl.New("https://files.example.com/files/", []signurl.Key{key}, nil)
	require.NoError(b, err)
	sign := func(b *testing.B, l signurl.Grant) {
		b.ReportAllocs()
		for b.Loop() {
			l.Expires = time.Now().Add(time.Hour)
			if _, err := s.Sign(l); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("blobtrail", func(b *testing.B) { sign(b, signurl.Grant{Key: benchKey}) })
	b.Run("blobtrail-given-grant", func(b *testing.B) {
		sign(b, signurl.Grant{Key: benchKey, ID: signurl.NewGrantID()})
	})
	b.Run("fileblob", func(b *testing.B) {
		u, err := url.Parse("https://files.example.com/files/")
		require.NoError(b, err)
		f := fileblob.NewURLSignerHMAC(u, []byte("0123456789abcdef0123456789abcdef"))
		b.ReportAllocs()
		for b.Loop() {
			u, err := f.URLFromKey(b.Context(), benchKey, &driver.SignedURLOptions{Method: "GET", Expiry: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			_ = u.String()
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	s, err := signurl.New("https://files.example.com/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(b, err)
	link, err := s.Sign(signurl.Grant{Key: benchKey, Expires: time.Now().Add(time.Hour)})
	require.NoError(b, err)
	r := httptest.NewRequest("GET", link, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}
