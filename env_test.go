package blobtrail_test

// This file defines the environments of the tests.

import (
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/signurl"
)

type vars = map[string]string

// Errors and log lines must not contain any part of these secrets.
const (
	accessKey = "AKIAIOSFODNN7EXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	password  = "correct-horse-battery"
)

// local returns an environment with files and trail in a folder of the test.
func local(t *testing.T, more vars) (config.Config, string) {
	t.Helper()
	dir := t.TempDir()
	env := vars{
		"LOCAL_STORAGE_PATH": filepath.Join(dir, "files of others"),
		"AUDIT_DATABASE_URL": "sqlite:" + filepath.Join(dir, "trail.db"),
	}
	maps.Copy(env, more)
	cfg, err := config.LoadFrom(env)
	require.NoError(t, err)
	return cfg, dir
}

func production(more vars) vars {
	env := vars{"APP_ENV": "production", "LINK_BASE_URL": "https://files.example.com/", "LINK_SIGNING_KEYS": signurl.GenerateKey().Encode()}
	maps.Copy(env, more)
	return env
}

func logTo(w io.Writer, cfg config.Config) *blobtrail.Options {
	return &blobtrail.Options{Config: &cfg, Logger: slog.New(slog.NewTextHandler(w, nil))}
}

// signerOf returns another signer with the keys of the configuration.
func signerOf(t *testing.T, cfg config.Config) *signurl.Signer {
	t.Helper()
	keys, err := signurl.ParseKeys(cfg.LinkSigningKeys.Reveal())
	require.NoError(t, err)
	signer, err := signurl.New(cfg.LinkBaseURL, keys, nil)
	require.NoError(t, err)
	return signer
}

func assertNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, s := range []string{accessKey, secretKey, password} {
		assert.NotContains(t, text, s[:len(s)/2])
		assert.NotContains(t, text, s[len(s)/2:])
	}
}
