package config_test

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/secret"
	"github.com/blobtrail/blobtrail/signurl"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	cfg := config.Config{
		URL: secret.New("gs://" + password), AuditDatabaseURL: secret.New("postgres://u:" + password + "@db/files"),
		S3:    config.S3{AccessKey: secret.New(accessKey), SecretKey: secret.New(secretKey)},
		Azure: config.Azure{ConnectionString: secret.New("AccountKey=" + accountKey)}, LinkSigningKeys: secret.New("k1:" + secretKey + "/links"),
		AuditDeploymentKey: secret.New("PRIVATE+KEY+" + secretKey + "/trail"),
	}
	var halves []string
	for _, s := range []string{accessKey, secretKey, accountKey, password} {
		halves = append(halves, s[:len(s)/2], s[len(s)/2:])
	}
	secrettest.HoldsDeep(t, cfg, halves...)
	secrettest.HoldsDeep(t, config.App{Config: cfg}, halves...)
}

// An App reaches everything: the journal with the deployment's key, the signer of
// the links, and the store.
func TestAppIsNeverPrintedWithItsSecrets(t *testing.T) {
	signing, verifying, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	require.NoError(t, err)
	key := signurl.GenerateKey().Encode()
	cfg, _ := local(t, vars{
		"AUDIT_DEPLOYMENT_KEY": signing.Reveal(), "AUDIT_VERIFIER_KEYS": verifying, "LINK_SIGNING_KEYS": key,
		"AUDIT_CHECKPOINTS_URL": "local://" + filepath.ToSlash(t.TempDir()),
	})
	app, err := config.Open(t.Context(), cfg, logTo(io.Discard))
	require.NoError(t, err)
	require.NoError(t, app.Close(t.Context()), "since printing reads what they write")
	private := signing.Reveal()
	secrettest.Holds(t, app, private[len(private)-20:], key[len(key)-20:])
	secrettest.Holds(t, app.Store, key[len(key)-20:])
}
