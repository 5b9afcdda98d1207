package main

// What the service itself takes from the environment, beside what package config does.

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
	// defaultMaxUpload limits uploads where MAX_UPLOAD_BYTES does not.
	defaultMaxUpload = 1 << 30
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// loadDotEnv takes from the file .env, if there is one, what the environment does
// not say. Values stand as they are, as with docker run --env-file: what expands
// variables or cuts off comments changes some passwords.
func loadDotEnv() error {
	text, err := os.ReadFile(".env")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) { // which some editors begin a file with
		n++
		if line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t"); line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !envName.MatchString(name) {
			return fmt.Errorf(".env, line %d: want NAME=value, or a comment that begins with #", n) // quoting nothing: it may be a secret
		}
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf(".env, line %d: %s can't be set", n, name)
		}
	}
	return nil
}

// loadSettings reports every mistake at once.
func loadSettings() (*settings, error) {
	var s settings
	err := env.Parse(&s)
	var filesErr error
	if s.files, filesErr = config.Load(); filesErr != nil {
		s.files.AppEnv = os.Getenv("APP_ENV") // which decides what else has to be there
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
		add("JWT_SIGNING_KEY", "it is not set, and with APP_ENV="+s.files.AppEnv+" no key is made up", "32 random bytes in base64url, the same in every process")
	case s.JWTKey.IsZero():
		s.jwtKey = make([]byte, jwtKeyBytes)
		_, _ = rand.Read(s.jwtKey) // never fails
	case err != nil || len(key) < jwtKeyBytes:
		add("JWT_SIGNING_KEY", "it is not 32 bytes in base64url", "what openssl rand -base64 32 | tr '+/' '-_' | tr -d '=' prints")
	default:
		s.jwtKey = key
	}
	for _, text := range s.Proxies {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			add("TRUSTED_PROXIES", fmt.Sprintf("%.50q is no network", text), "networks such as 10.0.0.0/8, separated by commas")
			continue
		}
		s.proxies = append(s.proxies, p)
	}
	if s.files.MaxUploadSize == 0 {
		s.files.MaxUploadSize = defaultMaxUpload
	}
	return errors.Join(problems...)
}

// linkPath is where the links of this service are mounted.
func (s *settings) linkPath() string {
	u, err := url.Parse(s.files.LinkBaseURL)
	if err != nil { // config has checked it
		return "/links/"
	}
	return strings.TrimSuffix(u.Path, "/") + "/"
}

// https reports whether clients reach the service over HTTPS, as LINK_BASE_URL
// says. Where that is left at its default, as it may be in production if the
// backend signs all links itself, production goes without saying.
func (s *settings) https() bool {
	u, err := url.Parse(s.files.LinkBaseURL)
	return err == nil && (u.Scheme == "https" || s.files.Production() && u.Hostname() == "localhost")
}
