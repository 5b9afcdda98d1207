package azurestore

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/secret"
)

// Open refuses ignored options with an error that names them.
func TestOptionsThatDoNotApply(t *testing.T) {
	connection := secret.New("AccountName=hidden;AccountKey=hidden")
	for want, o := range map[string]Options{
		"Options.Key and Options.SASToken":            {Account: "a", Key: secret.New("hidden"), SASToken: secret.New("hidden")},
		"Options.Key and Options.ConnectionString":    {Key: secret.New("hidden"), ConnectionString: connection},
		"Options.Account and Options.Connection":      {Account: "a", ConnectionString: connection},
		"Options.AccountURL and Options.Connection":   {AccountURL: "http://127.0.0.1:1/a", ConnectionString: connection},
		"Options.Transport and Options.Stal":          {Account: "a", Transport: http.DefaultTransport, StallTimeout: time.Second},
		"Options.StallTimeout is -1ns: want a positi": {Account: "a", StallTimeout: -1},
	} {
		o.Container = "files"
		_, err := Open(t.Context(), &o)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hidden")
	}
	_, err := driver.Open(t.Context(), "azblob://files?storage_account=a", driver.Credentials{ConnectionString: connection})
	require.ErrorContains(t, err, "and Options.ConnectionString are both set")
}

// The environment may contain several credentials, because programs share it.
func TestCredentialsOfTheEnvironment(t *testing.T) {
	all := map[string]string{
		"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "a2V5", "AZURE_STORAGE_SAS_TOKEN": "sv=1",
		"AZURE_STORAGE_CONNECTION_STRING": "AccountName=b;AccountKey=a2V5",
	}
	for _, used := range []string{"AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT"} {
		o, err := parse(&url.URL{Scheme: scheme, Host: "files"}, func(name string) string { return all[name] })
		require.NoError(t, err)
		require.NoError(t, o.check(), used)
		require.Equal(t, used == "AZURE_STORAGE_KEY", !o.Key.IsZero(), used)
		require.Equal(t, used == "AZURE_STORAGE_SAS_TOKEN", !o.SASToken.IsZero(), used)
		require.Equal(t, used == "AZURE_STORAGE_CONNECTION_STRING", !o.ConnectionString.IsZero(), used)
		delete(all, used)
	}
}
