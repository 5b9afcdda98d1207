package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Azure is a running Azurite.
type Azure struct {
	Account, Key     string
	Endpoint         string // of the account, such as http://127.0.0.1:10000/account
	ConnectionString string

	// Transport is a transport for the endpoint; nil means that any works.
	// Azurite accepts identities only over TLS.
	Transport http.RoundTripper
}

var azurite, azuriteTLS once[Azure]

// Azurite returns the running Azurite, or skips the test.
func Azurite(t testing.TB) *Azure {
	t.Helper()
	return azurite.get(t, "azurite", func() (*Azure, func(), error) {
		addr, dir, err := place()
		if err != nil {
			return nil, nil, err
		}
		a := newAzure("http", addr)
		stop, err := a.start(answers("http://"+addr+"/", 499), addr)
		return a, and(stop, dir), err
	})
}

// AzuriteTLS returns an Azurite that accepts identities, or skips the test. It
// accepts every well-formed token.
func AzuriteTLS(t testing.TB) *Azure {
	t.Helper()
	return azuriteTLS.get(t, "azurite", func() (*Azure, func(), error) {
		addr, dir, err := place()
		if err != nil {
			return nil, nil, err
		}
		cert, key, pool, err := certificate(dir)
		if err != nil {
			return nil, and(nil, dir), err
		}
		a := newAzure("https", addr)
		a.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
		ready := func() bool {
			c, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second}, Config: &tls.Config{RootCAs: pool}}).Dial("tcp", addr)
			return err == nil && c.Close() == nil
		}
		stop, err := a.start(ready, addr, "--oauth", "basic", "--cert", cert, "--key", key)
		return a, and(stop, dir), err
	})
}

func newAzure(scheme, addr string) *Azure {
	a := &Azure{
		Account: "testaccount", Key: base64.StdEncoding.EncodeToString([]byte(strings.Repeat("z", 64))),
		Endpoint: scheme + "://" + addr + "/testaccount",
	}
	a.ConnectionString = "DefaultEndpointsProtocol=" + scheme + ";AccountName=" + a.Account + ";AccountKey=" + a.Key + ";BlobEndpoint=" + a.Endpoint + ";"
	return a
}

func (a *Azure) start(ready func() bool, addr string, args ...string) (stop func(), err error) {
	main, err := installed("azurite", "node_modules", "azurite", "dist", "src", "blob", "main.js")
	if err != nil {
		return nil, err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, &missingError{"node"}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	args = append([]string{
		main, "--silent", "--inMemoryPersistence", "--blobHost", host, "--blobPort", port,
		"--skipApiVersionCheck", "--disableTelemetry",
	}, args...)
	return start([]string{"AZURITE_ACCOUNTS=" + a.Account + ":" + a.Key}, ready, node, args...)
}

// certificate creates a certificate for the loopback interface in dir.
func certificate(dir string) (certFile, keyFile string, pool *x509.CertPool, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", "", nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return certFile, keyFile, pool, errors.Join(os.WriteFile(certFile, certPEM, 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}
