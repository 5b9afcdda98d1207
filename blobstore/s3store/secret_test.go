package s3store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/secret"
)

func TestCredentialsAreNeverPrinted(t *testing.T) {
	secrets := []string{"AKIDCANARYEXAMPLE", "wJalrXUtnFEMI+canary", "IQoJb3JpZ2luX2VjEXAMPLE"}
	o := Options{
		Bucket: "files", Region: "eu-central-1",
		AccessKey: secret.New(secrets[0]), SecretKey: secret.New(secrets[1]), SessionToken: secret.New(secrets[2]),
	}
	secrettest.HoldsDeep(t, o, secrets...)
	b, err := newBucket(t.Context(), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	secrettest.HoldsDeep(t, b, secrets...)
}
