package azurestore

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// If a user puts a secret into a parameter, it must not appear in a log.
func TestUnknownParametersAreNamedWithoutTheirValue(t *testing.T) {
	u, err := url.Parse("azblob://name?acount_key=c2VjcmV0")
	require.NoError(t, err)
	_, err = parse(u, func(string) string { return "" })
	require.ErrorContains(t, err, "acount_key")
	require.NotContains(t, err.Error(), "c2VjcmV0")
	u, err = url.Parse("azblob://name?create=perhaps")
	require.NoError(t, err)
	_, err = parse(u, func(string) string { return "" })
	require.ErrorContains(t, err, "perhaps")
}
