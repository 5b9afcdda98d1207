package main

// This file implements the settings of the service, in addition to those of
// package config.

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/caarlos0/env/v11"

	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/secret"
)

type settings struct {
	Addr        string      `env:"LISTEN_ADDR" envDefault:"localhost:8080"`
	MetricsAddr string      `env:"METRICS_ADDR" envDefault:"localhost:9464"`
	JWTKey      secret.Text `env:"JWT_SIGNING_KEY"`
	Proxies     []string    `env:"TRUSTED_PROXIES"`

	files   config.Config
	jwtKey  []byte
	proxies []netip.Prefix
}

const (
	jwtKeyBytes = 32
	// defaultMaxUpload limits uploads if MAX_UPLOAD_BYTES is not set.
	defaultMaxUpload = 1 << 30
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// loadDotEnv reads the file .env, if it exists. Variables of the environment
// take precedence. Values are used literally, as with docker run --env-file,
// because expanding variables or removing comments would damage some passwords.
func loadDotEnv() error {
	text, err := os.ReadFile(".env")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) { // some editors write a byte order mark
		n++
		if line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t"); line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !envName.MatchString(name) {
			return fmt.Errorf(".env, line %d: want NAME=value, or a comment that begins with #", n) // do not quote the line, because it may contain a secret
		}
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf(".env, line %d: cannot set %s", n, name)
		}
	}
	return nil
}

// loadSettings reports all mistakes in one error.
func loadSettings() (*settings, error) {
	var s settings
	err := env.Parse(&s)
	var filesErr error
	if s.files, filesErr = config.Load(); filesErr != nil {
		s.files.AppEnv = os.Getenv("APP_ENV") // check depends on it
		return nil, errors.Join(err, filesErr, s.check())
	}
	return &s, errors.Join(err, s.check())
}

func (s *settings) check() error {
	var problems []error
	add := func(variable, wrong, want string) {
		problems = append(problems, &config.Problem{Variable: variable, Wrong: wrong, Want: want})
	}
	switch key, err := base64.RawURLEncoding.DecodeString(s.JWTKey.Reveal()); {
	case s.JWTKey.IsZero() && s.files.Production():
		add("JWT_SIGNING_KEY", "it is not set, but it is required with APP_ENV="+s.files.AppEnv, "32 random bytes in base64url, the same in every process")
	case s.JWTKey.IsZero():
		s.jwtKey = make([]byte, jwtKeyBytes)
		_, _ = rand.Read(s.jwtKey) // never fails
	case err != nil || len(key) < jwtKeyBytes:
		add("JWT_SIGNING_KEY", "it is not 32 bytes in base64url", "the output of openssl rand -base64 32 | tr '+/' '-_' | tr -d '='")
	default:
		s.jwtKey = key
	}
	for _, text := range s.Proxies {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			add("TRUSTED_PROXIES", fmt.Sprintf("%.50q is not a network", text), "networks such as 10.0.0.0/8, separated by commas")
			continue
		}
		s.proxies = append(s.proxies, p)
	}
	if s.files.MaxUploadSize == 0 {
		s.files.MaxUploadSize = defaultMaxUpload
	}
	return errors.Join(problems...)
}

// linkPath returns the path of the handler for links.
func (s *settings) linkPath() string {
	u, err := url.Parse(s.files.LinkBaseURL)
	if err != nil { // config has already validated it
		return "/links/"
	}
	return strings.TrimSuffix(u.Path, "/") + "/"
}

// https reports whether clients use HTTPS. LINK_BASE_URL determines that. In
// production, LINK_BASE_URL may be unset if the backend signs all links; https
// then returns true.
func (s *settings) https() bool {
	u, err := url.Parse(s.files.LinkBaseURL)
	return err == nil && (u.Scheme == "https" || s.files.Production() && u.Hostname() == "localhost")
}
