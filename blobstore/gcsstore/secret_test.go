package gcsstore

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/secret"
)

func TestCredentialsAreNeverPrinted(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "files@example.iam.gserviceaccount.com", "private_key_id": "1", "token_uri": "http://127.0.0.1:1/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	require.NoError(t, err)
	secrets := []string{"BEGIN PRIVATE", key.D.String(), string(key.D.Bytes())}
	o := Options{Bucket: "files", CredentialsJSON: secret.New(string(file))}
	secrettest.HoldsDeep(t, o, secrets...)
	b, err := newBucket(t.Context(), t.Context(), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	require.NotNil(t, b.signer.key)
	secrettest.Holds(t, b, secrets...)
}
