package integration

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/gcsstore"
	"github.com/blobtrail/blobtrail/secret"
)

// options returns options for a new bucket of g.
func (g *GCS) options() *gcsstore.Options {
	return &gcsstore.Options{Bucket: bucketName(), Endpoint: g.Endpoint, CredentialsFile: g.CredentialsFile, Create: true}
}

func openGCS(t testing.TB, o *gcsstore.Options) driver.Bucket {
	t.Helper()
	b := opened(t, func() (driver.Bucket, error) { return gcsstore.Open(t.Context(), o) })
	t.Cleanup(func() { _ = b.Close() }) // the test may have closed it
	return b
}

func TestGCSOpen(t *testing.T) {
	g := FakeGCS(t)
	open := func(change func(o *gcsstore.Options)) error {
		o := g.options()
		change(o)
		begun := time.Now()
		b, err := gcsstore.Open(t.Context(), o)
		assert.Less(t, time.Since(begun), 15*time.Second) // 5 s on an idle machine
		if err == nil {
			assert.NoError(t, b.Close())
		}
		return err
	}
	err := open(func(o *gcsstore.Options) { o.Create = false })
	require.ErrorContains(t, err, "does not exist")
	require.ErrorContains(t, err, "create=true")
	err = open(func(o *gcsstore.Options) { o.CredentialsFile, o.Anonymous = "", true })
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "rejected the credentials")
	err = open(func(o *gcsstore.Options) { o.Endpoint = "http://127.0.0.1:1" })
	require.ErrorContains(t, err, "127.0.0.1:1")
	err = open(func(o *gcsstore.Options) {
		o.CredentialsFile, o.CredentialsJSON = "", secret.New(`{"private_key":"hush-hush"}`)
	})
	require.ErrorContains(t, err, "key file of a service account")
	require.NotContains(t, err.Error(), "hush")
	require.NoError(t, open(func(*gcsstore.Options) {}))

	b, err := driver.Open(t.Context(), "gs://"+bucketName()+"?create=true&endpoint="+g.Endpoint+"&credentials_path="+g.CredentialsFile, driver.Credentials{})
	require.NoError(t, err)
	require.NoError(t, b.Close())
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", g.CredentialsFile)
	b, err = driver.Open(t.Context(), "gs://"+bucketName()+"?create=true&endpoint="+g.Endpoint, driver.Credentials{})
	require.NoError(t, err)
	require.NoError(t, b.Close())
	_, err = driver.Open(t.Context(), "gs://"+bucketName()+"?creat=true", driver.Credentials{})
	require.ErrorContains(t, err, "creat")
}

func TestGCSSignsByIAM(t *testing.T) {
	g := FakeGCS(t)
	// A machine has credentials with tokens, but without a key.
	source := openGCS(t, g.options())

	o := &gcsstore.Options{
		Bucket: bucketOf(source), Endpoint: g.Endpoint, IAMEndpoint: g.Endpoint, AccessID: g.AccessID,
		TokenSource: g.Gate.Tokens(),
	}
	b := openGCS(t, o)
	require.NoError(t, write(t.Context(), b, "k", []byte("content"), -1, true))
	status, _ := use(t, signed(t, b, "k", driver.SignOptions{Method: http.MethodGet}), nil)
	require.Equal(t, 200, status)

	o.AccessID = "somebody-else@test-project.iam.gserviceaccount.com"
	b = openGCS(t, o)
	_, err := b.Sign(t.Context(), "k", &driver.SignOptions{Method: http.MethodGet, Expires: time.Now().Add(time.Hour)})
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "Service Account Token Creator")

	o.AccessID = ""
	b = openGCS(t, o)
	require.Empty(t, b.Info().Capabilities.Links.Methods, "nobody is known who could sign")
}

// Content of unknown size is sent without a checksum. The provider must
// therefore compare the checksum reported by the service.
func TestGCSFindsDamagedUploads(t *testing.T) {
	direct, b, f := throughFaults["gcs/fake+gate"](t)
	f.set(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/upload/") {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if len(body) < 1<<20 {
			return false
		}
		body[len(body)/2] ^= 1
		f.next.ServeHTTP(w, r)
		return true
	})
	for _, n := range []int{5 << 20, 20 << 20} {
		err := write(t.Context(), b, "k", content(n), -1, true)
		require.ErrorIs(t, err, driver.ErrChecksum)
		_, err = direct.Read(t.Context(), "k", 0, -1)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}
