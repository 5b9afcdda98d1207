package integration

import (
	"encoding/base64"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/azurestore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/secret"
)

// options returns options for a new container of a.
func (a *Azure) options() *azurestore.Options {
	return &azurestore.Options{Container: bucketName(), ConnectionString: secret.New(a.ConnectionString), Create: true}
}

func openAzure(t testing.TB, o *azurestore.Options) driver.Bucket {
	t.Helper()
	b := opened(t, func() (driver.Bucket, error) { return azurestore.Open(t.Context(), o) })
	t.Cleanup(func() { _ = b.Close() }) // the test may have closed it
	return b
}

func TestAzureOpen(t *testing.T) {
	a := Azurite(t)
	open := func(change func(o *azurestore.Options)) error {
		o := a.options()
		change(o)
		begun := time.Now()
		b, err := azurestore.Open(t.Context(), o)
		assert.Less(t, time.Since(begun), 15*time.Second) // 5 s on an idle machine
		if err == nil {
			assert.NoError(t, b.Close())
		} else {
			assert.NotContains(t, err.Error(), a.Key)
		}
		return err
	}
	err := open(func(o *azurestore.Options) { o.Create = false })
	require.ErrorContains(t, err, "does not exist")
	require.ErrorContains(t, err, "create=true")
	wrong := base64.StdEncoding.EncodeToString([]byte("wrong"))
	err = open(func(o *azurestore.Options) {
		o.ConnectionString = secret.New(strings.Replace(a.ConnectionString, a.Key, wrong, 1))
	})
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "rejected the credentials")
	require.NotContains(t, err.Error(), wrong)
	err = open(func(o *azurestore.Options) {
		o.ConnectionString = secret.New(strings.Replace(a.ConnectionString, a.Endpoint, "http://127.0.0.1:1/x", 1))
	})
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.ErrorContains(t, open(func(o *azurestore.Options) { o.ConnectionString = secret.New("nonsense") }), "Name=value")
	require.ErrorContains(t, open(func(o *azurestore.Options) { o.ConnectionString = secret.New("AccountName=x") }), "AccountKey")
	require.NoError(t, open(func(*azurestore.Options) {}))

	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", a.ConnectionString)
	b, err := driver.Open(t.Context(), "azblob://"+bucketName()+"?create=true", driver.Credentials{})
	require.NoError(t, err)
	require.NoError(t, b.Close())
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "")
	t.Setenv("AZURE_STORAGE_ACCOUNT", a.Account)
	t.Setenv("AZURE_STORAGE_KEY", a.Key)
	b, err = driver.Open(t.Context(), "azblob://"+bucketName()+"?create=true&protocol=http&domain="+strings.TrimPrefix(strings.TrimSuffix(a.Endpoint, "/"+a.Account), "http://"), driver.Credentials{})
	require.NoError(t, err)
	require.NoError(t, b.Close())
	_, err = driver.Open(t.Context(), "azblob://"+bucketName()+"?creat=true", driver.Credentials{})
	require.ErrorContains(t, err, "creat")
}
