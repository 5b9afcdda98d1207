package driver_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/secret"
)

func TestCredentialsReachTheProvider(t *testing.T) {
	heed := false
	var got *driver.Credentials
	driver.Register("credentialled", func(ctx context.Context, _ *url.URL) (driver.Bucket, error) {
		if heed {
			got = driver.CredentialsFrom(ctx)
		}
		return driver.FromBlob(memblob.OpenBucket(nil), driver.Info{}), nil
	})
	open := func(c *driver.Credentials) {
		ctx := t.Context()
		if c != nil {
			ctx = driver.WithCredentials(ctx, c)
		}
		b, err := driver.Open(ctx, "credentialled://files")
		require.NoError(t, err)
		require.NoError(t, b.Close())
	}
	c := &driver.Credentials{AccessKey: secret.New("very-accessible"), SecretKey: secret.New("very-secret"), ConnectionString: secret.New("very-connected")}
	open(c)
	assert.False(t, c.Taken())
	heed = true
	open(c)
	assert.True(t, c.Taken())
	assert.Equal(t, "very-secret", got.SecretKey.Reveal())
	open(nil)
	assert.Nil(t, got)
	secrettest.HoldsDeep(t, c, "very-accessible", "very-secret", "very-connected")
}
