package integration

// This file implements the two S3 servers: versitygw, which is fast and strict
// about signatures, and MinIO, which also supports encryption.

import (
	"encoding/base64"
	"os"
	"strings"
	"testing"
)

// S3 is a running S3 server.
type S3 struct {
	Name                 string
	Endpoint             string // such as http://127.0.0.1:9000
	AccessKey, SecretKey string
	KMSKey               string // the ID of a key for aws:kms; empty if the server does not encrypt
	Domain               string // the parent domain of buckets; empty if the server supports only paths
}

var (
	versitygw once[S3]
	minio     once[S3]
)

// VersityGW returns the running versitygw, or skips the test.
func VersityGW(t testing.TB) *S3 {
	t.Helper()
	return versitygw.get(t, "versitygw", func() (*S3, func(), error) {
		bin, err := installed("bin", "versitygw")
		if err != nil {
			return nil, nil, err
		}
		addr, dir, err := place()
		if err != nil {
			return nil, nil, err
		}
		s := &S3{Name: "versitygw", Endpoint: "http://" + addr, AccessKey: "test-access", SecretKey: "test-secret-versitygw", Domain: "s3.test"}
		stop, err := start([]string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey},
			answers(s.Endpoint+"/health", 200), bin, "--port", addr, "--health", "/health", "--virtual-domain", s.Domain, "--quiet", "posix", dir)
		return s, and(stop, dir), err
	})
}

// MinIO returns the running MinIO, or skips the test.
func MinIO(t testing.TB) *S3 {
	t.Helper()
	return minio.get(t, "minio", func() (*S3, func(), error) {
		bin, err := installed("bin", "minio")
		if err != nil {
			return nil, nil, err
		}
		addr, dir, err := place()
		if err != nil {
			return nil, nil, err
		}
		s := &S3{Name: "minio", Endpoint: "http://" + addr, AccessKey: "test-access", SecretKey: "test-secret-minio", KMSKey: "test-key"}
		kms := s.KMSKey + ":" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
		stop, err := start([]string{
			"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey,
			"MINIO_KMS_SECRET_KEY=" + kms, "MINIO_BROWSER=off",
		}, answers(s.Endpoint+"/minio/health/ready", 200),
			bin, "server", "--quiet", "--address", addr, dir)
		return s, and(stop, dir), err
	})
}

// place returns an unused address and a new folder.
func place() (addr, dir string, err error) {
	if addr, err = freeAddr(); err == nil {
		dir, err = os.MkdirTemp("", "blobtrail-server-")
	}
	return addr, dir, err
}

// and returns a function that calls stop and removes dir.
func and(stop func(), dir string) func() {
	return func() {
		if stop != nil {
			stop()
		}
		_ = os.RemoveAll(dir)
	}
}
