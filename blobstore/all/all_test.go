package all_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	_ "github.com/blobtrail/blobtrail/blobstore/all"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// Every scheme that the documentation names must be there. What is asked for
// cannot be opened, so that nothing is contacted.
func TestEveryProviderIsThere(t *testing.T) {
	for scheme, url := range map[string]string{
		"local": "local://", "file": "file://", "mem": "mem://x", "s3": "s3://b?no_such=1", "azblob": "azblob://c?no_such=1", "gs": "gs://b?no_such=1",
	} {
		t.Run(scheme, func(t *testing.T) {
			_, err := driver.Open(t.Context(), url, driver.Credentials{})
			require.Error(t, err)
			require.NotContains(t, err.Error(), "no provider")
		})
	}
}
