package s3store

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/secret"
)

// Open refuses ignored options with an error that names them.
func TestOptionsThatDoNotApply(t *testing.T) {
	for want, o := range map[string]Options{
		"SessionToken":                       {SessionToken: secret.New("hidden")},
		"incomplete credentials":             {AccessKey: secret.New("hidden")},
		"a KMS key":                          {KMSKeyID: "alias/files", Encryption: "AES256"},
		"Options.StaleAfter is -1ns":         {StaleAfter: -1},
		"Options.StallTimeout is -1ns":       {StallTimeout: -1},
		"Options.Transport and Options.Stal": {Transport: http.DefaultTransport, StallTimeout: time.Second},
	} {
		o.Bucket, o.Endpoint = "files", "http://127.0.0.1:1"
		_, err := Open(t.Context(), &o)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hidden")
	}
	_, err := driver.Open(t.Context(), "s3://files?region=eu-central-1&region=us-east-1", driver.Credentials{})
	require.ErrorContains(t, err, `parameter "region" is given 2 times`)
}
