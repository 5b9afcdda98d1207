package azurestore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/secret"
)

func TestCredentialsAreNeverPrinted(t *testing.T) {
	const key, sas = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5", "sv=2024-11-04&sig=canary-canary"
	for name, o := range map[string]Options{
		"connection string": {ConnectionString: secret.New("AccountName=acct;AccountKey=" + key)},
		"key":               {Account: "acct", Key: secret.New(key)},
		"SAS token":         {Account: "acct", SASToken: secret.New(sas)},
	} {
		t.Run(name, func(t *testing.T) {
			o.Container = "files"
			secrettest.HoldsDeep(t, o, key, "canary-canary")
			b, err := newBucket(t.Context(), o)
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			secrettest.Holds(t, b, key, "canary-canary")
		})
	}
}
