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
	var got driver.Credentials
	driver.Register("credentialled", func(_ context.Context, _ *url.URL, c driver.Credentials) (driver.Bucket, error) {
		got = c
		return driver.FromBlob(memblob.OpenBucket(nil), driver.Info{}), nil
	}, "AccessKey", "SecretKey")
	c := driver.Credentials{AccessKey: secret.New("very-accessible"), SecretKey: secret.New("very-secret")}
	for _, c := range []driver.Credentials{c, {}} {
		b, err := driver.Open(t.Context(), "credentialled://files", c)
		require.NoError(t, err)
		require.NoError(t, b.Close())
		assert.Equal(t, c.SecretKey.Reveal(), got.SecretKey.Reveal())
		assert.Equal(t, c.AccessKey.IsZero(), got.IsZero())
	}
	c.ConnectionString = secret.New("very-connected")
	_, err := driver.Open(t.Context(), "credentialled://files", c)
	require.EqualError(t, err, "credentialled://files: the provider accepts only the credentials AccessKey and SecretKey, but ConnectionString is set")
	driver.Register("open-to-all", func(context.Context, *url.URL, driver.Credentials) (driver.Bucket, error) {
		t.Error("the provider was asked although it takes no credentials")
		return nil, nil
	})
	_, err = driver.Open(t.Context(), "open-to-all://files", driver.Credentials{CredentialsFile: "key.json"})
	require.ErrorContains(t, err, "accepts no credentials, but CredentialsFile is set")
	secrettest.HoldsDeep(t, c, "very-accessible", "very-secret", "very-connected")
}
