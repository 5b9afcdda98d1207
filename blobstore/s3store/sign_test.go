package s3store

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/secret"
)

// The provider resolves the endpoint once, while the SDK's presigner resolves
// it for every link. Both must produce the same address, signing region and
// service.
func TestLinksLeadWhereTheSDKsDo(t *testing.T) {
	base := Options{Region: "eu-central-1", AccessKey: secret.New("AKIDEXAMPLE"), SecretKey: secret.New("secret")}
	with := func(change func(o *Options)) Options {
		o := base
		o.Bucket = "files"
		change(&o)
		return o
	}
	for name, o := range map[string]Options{
		"virtual host":             with(func(*Options) {}),
		"path style":               with(func(o *Options) { o.UsePathStyle = true }),
		"a dotted bucket":          with(func(o *Options) { o.Bucket = "files.example.com" }),
		"first region":             with(func(o *Options) { o.Region = "us-east-1" }),
		"China":                    with(func(o *Options) { o.Region = "cn-north-1" }),
		"session token":            with(func(o *Options) { o.SessionToken = secret.New("a/b+c=") }),
		"accelerate":               with(func(o *Options) { o.accelerate = true }),
		"another service":          with(func(o *Options) { o.Endpoint = "https://minio.internal:9000" }),
		"another service, by path": with(func(o *Options) { o.Endpoint, o.UsePathStyle = "https://minio.internal:9000/s3", true }),
		"access point":             with(func(o *Options) { o.Bucket = "arn:aws:s3:eu-central-1:123456789012:accesspoint/mine" }),
		"object lambda":            with(func(o *Options) { o.Bucket = "arn:aws:s3-object-lambda:eu-central-1:123456789012:accesspoint/mine" }),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := newBucket(t.Context(), o)
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			const key = "Ordner/ä +%?#&=~'()*!/datei.txt"
			ours, err := b.Sign(t.Context(), key, &driver.SignOptions{Method: http.MethodGet, Expires: time.Now().Add(time.Hour)})
			require.NoError(t, err)
			k := key
			theirs, err := s3.NewPresignClient(b.client, s3.WithPresignExpires(time.Hour)).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: &o.Bucket, Key: &k})
			require.NoError(t, err)
			a, err := url.Parse(ours.URL)
			require.NoError(t, err)
			w, err := url.Parse(theirs.URL)
			require.NoError(t, err)
			assert.Equal(t, w.Scheme+"://"+w.Host, a.Scheme+"://"+a.Host)
			assert.Equal(t, w.EscapedPath(), a.EscapedPath())
			for _, p := range []string{"X-Amz-Credential", "X-Amz-Security-Token", "X-Amz-SignedHeaders", "X-Amz-Algorithm"} {
				assert.Equal(t, w.Query().Get(p), a.Query().Get(p), p)
			}
		})
	}
}

// A signature for several regions uses another algorithm.
func TestNoLinksOfMultiRegionAccessPoints(t *testing.T) {
	b, err := newBucket(t.Context(), Options{
		Bucket: "arn:aws:s3::123456789012:accesspoint/mine.mrap", Region: "eu-central-1", AccessKey: secret.New("AKIDEXAMPLE"), SecretKey: secret.New("secret"),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	assert.Empty(t, b.Info().Capabilities.Links.Methods)
	_, err = b.Sign(t.Context(), "k", &driver.SignOptions{Method: http.MethodGet, Expires: time.Now().Add(time.Hour)})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.True(t, strings.Contains(err.Error(), "cannot be signed"), err)
}
