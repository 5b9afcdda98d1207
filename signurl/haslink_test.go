package signurl_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/signurl"
)

func TestHasLink(t *testing.T) {
	s := newSigner(t, base, nil, testKey(t, "k1", 0))
	full, err := url.Parse(sign(t, s, upload()))
	require.NoError(t, err)
	yes := []string{full.RawQuery, "bt-sig", "bt-sig=", "BT-SIG=x", "a=b&%62t%2Dsig=x", "a;bt-exp=1", "bt-v=1", "&&bt-kid=k"}
	for name := range full.Query() {
		yes = append(yes, name+"=x")
	}
	for _, q := range yes {
		assert.True(t, signurl.HasLink(&http.Request{URL: &url.URL{RawQuery: q}}), q)
	}
	for _, q := range []string{"", "&", "a=bt-sig", "bt=1", "bt-", "bt-sigx=1", "xbt-sig=1", "bt-%zz=1", "bt-color=red", "utm_source=x"} {
		assert.False(t, signurl.HasLink(&http.Request{URL: &url.URL{RawQuery: q}}), q)
	}
	assert.False(t, signurl.HasLink(nil))
	assert.False(t, signurl.HasLink(&http.Request{}))
}
