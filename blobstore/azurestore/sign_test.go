package azurestore

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/stretchr/testify/require"
)

// The faster encoding must have the same result.
func TestQueryIsWhatTheSDKEncodes(t *testing.T) {
	cred, err := container.NewSharedKeyCredential("account", base64.StdEncoding.EncodeToString([]byte("key")))
	require.NoError(t, err)
	for _, v := range []sas.BlobSignatureValues{
		{Permissions: "r"},
		{Permissions: "cw", Protocol: sas.ProtocolHTTPSandHTTP},
		{Permissions: "r", Protocol: sas.ProtocolHTTPS, ContentDisposition: `attachment; filename="ä +&=%.pdf"`, ContentType: "text/plain; charset=utf-8"},
		{Permissions: "d", StartTime: time.Now().UTC()},
	} {
		v.ExpiryTime, v.ContainerName, v.BlobName = time.Now().Add(time.Hour).UTC(), "files", "a/b"
		if v.StartTime.IsZero() {
			v.StartTime = time.Now().Add(-skew).UTC()
		}
		q, err := v.SignWithSharedKey(cred)
		require.NoError(t, err)
		require.Equal(t, q.Encode(), query(&q))
	}
}

func TestEscapeKey(t *testing.T) {
	for key, want := range map[string]string{
		"plain/ä +~.txt": "plain/ä +~.txt", "a#b": "a__0x23__b", `q"%?`: "q__0x22____0x25____0x3f__", "x__0x23__": "x__0x5f___0x23__",
	} {
		require.Equal(t, want, escapeKey(key))
	}
}
