package driver_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
)

func TestCredentialsReachTheProvider(t *testing.T) {
	heed := false
	var got *driver.Credentials
	driver.Register("credentialled", func(ctx context.Context, _ *url.URL) (driver.Bucket, error) {
		if heed {
			got = driver.CredentialsFrom(ctx)
		}
		return &driver.Base{Bucket: memblob.OpenBucket(nil)}, nil
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
	c := &driver.Credentials{SecretKey: "very-secret"}
	open(c)
	assert.False(t, c.Taken())
	heed = true
	open(c)
	assert.True(t, c.Taken())
	assert.Equal(t, "very-secret", got.SecretKey)
	open(nil)
	assert.Nil(t, got)
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s", c, c, c, c), "very-secret")
}
