package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/config"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	type hidden struct{ cfg config.Config } // fmt calls no methods in here
	cfg := config.Config{
		URL: config.NewSecret("gs://" + password), AuditDatabaseURL: config.NewSecret("postgres://u:" + password + "@db/files"),
		S3: config.S3{AccessKey: config.NewSecret(accessKey), SecretKey: config.NewSecret(secretKey)}, LinkSigningKeys: config.NewSecret(secretKey),
		Azure: config.Azure{ConnectionString: config.NewSecret("AccountKey=" + accountKey)},
	}
	values := map[string]any{
		"config": cfg, "pointer": &cfg, "in an unexported field": hidden{cfg}, "secret": cfg.S3.SecretKey, "pointer to secret": &cfg.S3.SecretKey,
		"slice": []config.Secret{cfg.S3.SecretKey}, "map": map[string]config.Secret{"k": cfg.S3.SecretKey}, "error": fmt.Errorf("%v", cfg.S3),
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%p", "%10.3v"} {
				assertNoSecret(t, fmt.Sprintf(verb, v))
			}
			var text bytes.Buffer
			slog.New(slog.NewTextHandler(&text, nil)).Info("x", "v", v)
			slog.New(slog.NewJSONHandler(&text, nil)).Info("x", "v", v)
			assertNoSecret(t, text.String())
			b, err := json.Marshal(v)
			require.NoError(t, err)
			assertNoSecret(t, string(b))
			if b, err := xml.Marshal(v); err == nil {
				assertNoSecret(t, string(b))
			}
		})
	}
	assert.Equal(t, secretKey, cfg.S3.SecretKey.Reveal())
	assert.True(t, cfg.S3.SecretKey.IsSet())
}

func TestSecretPrints(t *testing.T) {
	assert.Equal(t, "[redacted]", config.NewSecret(secretKey).String())
	assert.Equal(t, "postgres:[redacted]", config.NewSecret("postgres://u:p@h/db").String())
	assert.Equal(t, "[redacted]", config.NewSecret("k1:abc").String(), "a key's ID is not a scheme")
	assert.Empty(t, config.NewSecret("").String())
	assert.Equal(t, `"[redacted]"`, fmt.Sprintf("%#v", config.NewSecret(secretKey)))
	b, err := json.Marshal(config.NewSecret(secretKey))
	require.NoError(t, err)
	assert.Equal(t, `"[redacted]"`, string(b))
	assert.False(t, config.Secret{}.IsSet())
	assert.Empty(t, config.Secret{}.Reveal())
	assert.Equal(t, "a: [redacted]", errors.New("a: "+config.NewSecret("x").String()).Error())
}
