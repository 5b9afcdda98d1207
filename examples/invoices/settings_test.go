package main

// This file tests the environment, the file .env and the command line.

import (
	"errors"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/internal/testlog"
)

// The file .env is read. The error lists all its mistakes, without secrets.
func TestDotEnv(t *testing.T) {
	t.Chdir(t.TempDir())
	const text = "STORAGE_BACKEND=s4\nMAX_UPLOAD_BYTES=lots\nJWT_SIGNING_KEY=very-secret\nTRUSTED_PROXIES=all\n"
	require.NoError(t, os.WriteFile(".env", []byte(text), 0o600))
	for _, line := range lines(text) {
		name, _, _ := strings.Cut(line, "=")
		t.Cleanup(func() { _ = os.Unsetenv(name) })
	}
	err := run(t.Context(), nil, testLogger(new(testlog.Buffer)))
	for _, name := range []string{"STORAGE_BACKEND", "MAX_UPLOAD_BYTES", "JWT_SIGNING_KEY", "TRUSTED_PROXIES"} {
		assert.ErrorContains(t, err, name)
	}

	require.NoError(t, os.WriteFile(".env", []byte("A=1\n\nvery-secret without a name\n"), 0o600))
	err = run(t.Context(), nil, testLogger(new(testlog.Buffer)))
	require.ErrorContains(t, err, ".env, line 3")
	assert.NotContains(t, err.Error(), "very-secret")
	t.Cleanup(func() { _ = os.Unsetenv("A") })
}

// Values are used literally, and the environment has precedence.
func TestDotEnvValues(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, loadDotEnv(), "the file does not exist")
	t.Setenv("DOT_ENV_SET", "by the environment")
	require.NoError(t, os.WriteFile(".env", []byte("\ufeff# a comment\r\n\n \t\n  # another\nDOT_ENV_URL=postgres://u:pa$WORD@h/db?a=b\r\nDOT_ENV_HASH=a #b\n  DOT_ENV_QUOTES=\"a\" \nDOT_ENV_NONE=\nDOT_ENV_SET=by the file"), 0o600))
	for _, name := range []string{"DOT_ENV_URL", "DOT_ENV_HASH", "DOT_ENV_QUOTES", "DOT_ENV_NONE"} {
		t.Cleanup(func() { _ = os.Unsetenv(name) })
	}
	require.NoError(t, loadDotEnv())
	for name, want := range map[string]string{
		"DOT_ENV_URL": "postgres://u:pa$WORD@h/db?a=b", "DOT_ENV_HASH": "a #b", "DOT_ENV_QUOTES": `"a" `, "DOT_ENV_NONE": "", "DOT_ENV_SET": "by the environment",
	} {
		assert.Equal(t, want, os.Getenv(name), name)
	}
}

// .env.example lists the variables of the settings.
func TestEnvExample(t *testing.T) {
	text, err := os.ReadFile(".env.example")
	require.NoError(t, err)
	var named, tagged []string
	for _, m := range regexp.MustCompile(`(?m)^([A-Z_]+)=`).FindAllStringSubmatch(string(text), -1) {
		named = append(named, m[1])
	}
	for f := range reflect.TypeFor[settings]().Fields() {
		if tag := f.Tag.Get("env"); tag != "" {
			tagged = append(tagged, tag)
		}
	}
	assert.Equal(t, tagged, named)
}

// One error reports the mistakes in the settings of package config and of the
// service.
func TestMistakesOfBothAreReportedAtOnce(t *testing.T) {
	for _, name := range append(config.Variables(), "JWT_SIGNING_KEY", "TRUSTED_PROXIES", "LISTEN_ADDR", "METRICS_ADDR") {
		t.Setenv(name, "")
	}
	t.Setenv("APP_ENV", "production")
	_, err := loadSettings()
	for _, name := range []string{"LINK_SIGNING_KEYS", "LINK_BASE_URL", "JWT_SIGNING_KEY"} {
		assert.ErrorContains(t, err, name)
	}
}

// In production, cookies are sent over HTTPS only, even with the default
// LINK_BASE_URL.
func TestCookiesAreSecure(t *testing.T) {
	for base, want := range map[string]bool{
		"": true, "https://files.example.com/files/": true, "http://files.example.com/files/": false,
	} {
		cfg, err := config.LoadFrom(vars{"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "files", "LINK_BASE_URL": base})
		require.NoError(t, err)
		cfg.AppEnv = "production" // rejects the default LINK_BASE_URL
		s := &service{set: &settings{files: cfg}}
		w := httptest.NewRecorder()
		s.setCookies(w, &tokens{Access: "a", Refresh: "r"})
		cookies := w.Result().Cookies()
		require.Len(t, cookies, 2)
		for _, c := range cookies {
			assert.Equal(t, want, c.Secure, "%s with %q", c.Name, base)
		}
	}
	cfg, err := config.LoadFrom(nil)
	require.NoError(t, err)
	assert.False(t, (&settings{files: cfg}).https(), "in development they are for http://localhost:8080")
}

// The password of the demo user is public.
func TestDemoUser(t *testing.T) {
	s := start(t, nil)
	require.NoError(t, s.demoUser(t.Context()))
	assert.Contains(t, s.log.String(), demoPassword)
	s.set.files.AppEnv = "production"
	require.ErrorContains(t, s.demoUser(t.Context()), demoEmail)

	s = start(t, nil)
	s.user("anna@north.example", "north")
	require.NoError(t, s.demoUser(t.Context()))
	assert.NotContains(t, s.log.String(), demoPassword, "there are users, and none is the demo user")
	s.set.files.AppEnv = "production"
	require.NoError(t, s.demoUser(t.Context()))
	require.ErrorContains(t, s.addUser(t.Context(), "Anna@North.example", "south", password), "already exists")
}

// Processes that start concurrently on an empty database all succeed, even if
// each of them finds no user.
func TestDemoUserOfManyProcesses(t *testing.T) {
	s := start(t, nil)
	s.passwordCost = 10 // slow enough for all processes to check first
	added := make(chan error, 4)
	for range cap(added) {
		go func() { added <- s.demoUser(t.Context()) }()
	}
	for range cap(added) {
		require.NoError(t, <-added)
	}
	assert.Equal(t, cap(added), strings.Count(s.log.String(), demoPassword))
}

// A wrong command line is reported before anything is opened.
func TestUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"-h"}, {"adduser"}, {"adduser", "a@b.example"}, {"serve"}} {
		require.ErrorContains(t, run(t.Context(), args, testLogger(new(testlog.Buffer))), "usage")
	}
	left, err := os.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestSettings(t *testing.T) {
	cfg, err := config.LoadFrom(vars{"STORAGE_BACKEND": "s3", "S3_BUCKET_NAME": "files"})
	require.NoError(t, err)
	cfg.AppEnv = "production"
	s := settings{files: cfg, Proxies: []string{"10.0.0.0/8", "everybody"}}
	err = s.check()
	for _, name := range []string{"JWT_SIGNING_KEY", "TRUSTED_PROXIES"} {
		assert.ErrorContains(t, err, name)
	}
	assert.NotContains(t, err.Error(), "very-secret")
	var p *config.Problem
	require.True(t, errors.As(err, &p))
	assert.EqualValues(t, defaultMaxUpload, s.files.MaxUploadSize)
}
