package integration

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// GCS is a running fake-gcs-server behind its gate.
type GCS struct {
	Endpoint        string // such as http://127.0.0.1:4443
	Project         string
	AccessID        string // the service account that signs links
	CredentialsFile string // a key file of the service account, in Google's format
	Gate            *Gate
}

var gcs once[GCS]

// FakeGCS returns the running fake-gcs-server. It is part of the tests, so it
// is never skipped.
func FakeGCS(t testing.TB) *GCS {
	t.Helper()
	return gcs.get(t, "gcs", startGCS)
}

func startGCS() (*GCS, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	addr := l.Addr().String()
	dir, err := os.MkdirTemp("", "blobtrail-server-")
	if err != nil {
		return nil, nil, err
	}
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true, PublicHost: addr, ExternalURL: "http://" + addr,
	})
	if err != nil {
		return nil, and(nil, dir), err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, and(nil, dir), err
	}
	s := &GCS{
		Endpoint: "http://" + addr, Project: "test-project",
		AccessID: "signer@test-project.iam.gserviceaccount.com", CredentialsFile: filepath.Join(dir, "key.json"),
	}
	s.Gate = newGate(fake, s.AccessID, key)
	if err := writeCredentials(s, key); err != nil {
		return nil, and(nil, dir), err
	}
	srv := &http.Server{Handler: s.Gate}
	go func() { _ = srv.Serve(l) }() // Serve returns when srv is closed
	return s, func() {
		_ = srv.Close()
		fake.Stop()
		_ = os.RemoveAll(dir)
	}, nil
}

const envServeGCS = "BLOBTRAIL_TEST_SERVE_GCS"

// serveGCS is the main function of a process started by remoteGCS, and does not
// return there. It serves until its standard input ends.
func serveGCS() {
	if os.Getenv(envServeGCS) == "" {
		return
	}
	s, stop, err := startGCS()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.Endpoint, s.CredentialsFile)
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop()
	os.Exit(0)
}

// remoteGCS starts a fake-gcs-server in a separate process, so that its memory
// does not count as that of the test.
func remoteGCS(t testing.TB) *GCS {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env, cmd.Stderr = append(os.Environ(), envServeGCS+"=1"), os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	s := &GCS{Project: "test-project"}
	if _, err := fmt.Fscanln(stdout, &s.Endpoint, &s.CredentialsFile); err != nil {
		t.Fatal(err)
	}
	return s
}

// writeCredentials writes a key file of a service account in the format of the
// Google console.
func writeCredentials(s *GCS, key *rsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	creds, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": s.Project, "private_key_id": "1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": s.AccessID, "client_id": "1", "token_uri": s.Endpoint + tokenPath,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(s.CredentialsFile, creds, 0o600)
}
