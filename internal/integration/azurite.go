package integration

import (
	"encoding/base64"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// Azure is a running Azurite.
type Azure struct {
	Account, Key     string
	Endpoint         string // of the account, such as http://127.0.0.1:10000/account
	ConnectionString string
}

var azurite once[Azure]

// Azurite returns the running Azurite, or skips the test.
func Azurite(t testing.TB) *Azure {
	t.Helper()
	return azurite.get(t, "azurite", func() (*Azure, func(), error) {
		main, err := installed("azurite", "node_modules", "azurite", "dist", "src", "blob", "main.js")
		if err != nil {
			return nil, nil, err
		}
		node, err := exec.LookPath("node")
		if err != nil {
			return nil, nil, &missingError{"node"}
		}
		addr, dir, err := place()
		if err != nil {
			return nil, nil, err
		}
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, nil, err
		}
		a := &Azure{
			Account: "testaccount", Key: base64.StdEncoding.EncodeToString([]byte(strings.Repeat("z", 64))),
			Endpoint: "http://" + addr + "/testaccount",
		}
		a.ConnectionString = "DefaultEndpointsProtocol=http;AccountName=" + a.Account + ";AccountKey=" + a.Key + ";BlobEndpoint=" + a.Endpoint + ";"
		stop, err := start([]string{"AZURITE_ACCOUNTS=" + a.Account + ":" + a.Key}, answers("http://"+addr+"/", 499),
			node, main, "--silent", "--inMemoryPersistence", "--blobHost", host, "--blobPort", port,
			"--skipApiVersionCheck", "--disableTelemetry")
		return a, and(stop, dir), err
	})
}
