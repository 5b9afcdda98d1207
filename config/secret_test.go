package config_test

import (
	"testing"

	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/secret"
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
}
