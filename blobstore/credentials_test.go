package blobstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/secret"
)

// Unusable credentials are refused, and never printed.
func TestCredentialsThatDoNotApply(t *testing.T) {
	opts := &blobstore.Options{Credentials: driver.Credentials{AccessKey: secret.New("hidden-1"), SecretKey: secret.New("hidden-2")}}
	_, err := blobstore.New(memstore.New(), audit.Discard, opts)
	require.ErrorContains(t, err, "Options.Credentials")
	require.NotContains(t, err.Error(), "hidden")
	for range 20 { // always names the same field
		_, err = blobstore.Open(t.Context(), "mem://", audit.Discard, opts)
		require.ErrorContains(t, err, "the provider accepts no credentials, but AccessKey is set")
		require.NotContains(t, err.Error(), "hidden")
	}
}
