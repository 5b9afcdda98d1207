package gcsstore

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/secret"
)

// Open refuses ignored options with an error that names them.
func TestOptionsThatDoNotApply(t *testing.T) {
	for want, o := range map[string]Options{
		"Options.CredentialsFile and Options.CredentialsJSON": {CredentialsFile: "key.json", CredentialsJSON: secret.New("hidden")},
		"Options.CredentialsJSON and Options.Anonymous":       {CredentialsJSON: secret.New("hidden"), Anonymous: true},
		"Options.TokenSource and Options.Anonymous":           {TokenSource: oauth2.StaticTokenSource(nil), Anonymous: true},
		"Options.Transport and Options.StallTimeout":          {Transport: http.DefaultTransport, StallTimeout: time.Second},
		"Options.StallTimeout is -1ns":                        {StallTimeout: -1},
	} {
		o.Bucket = "files"
		_, err := Open(t.Context(), &o)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hidden")
	}
	for url, want := range map[string]string{"gs://files?anonymous=true": "Anonymous", "gs://files?credentials_path=other.json": "credentials_path"} {
		_, err := driver.Open(t.Context(), url, driver.Credentials{CredentialsFile: "key.json"})
		require.ErrorContains(t, err, want)
	}
}
