package blobhttp_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// patience is the timeout of the server in these tests. The clients wait
// longer.
const patience = 300 * time.Millisecond

func dialSlow(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", u.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
	return conn, bufio.NewReader(conn)
}

// withRequest returns a listener whose connections include their first bytes.
// The server's timeout then starts with the request, even if a busy machine
// delays the client.
func withRequest(l net.Listener) net.Listener { return begunListener{l} }

type begunListener struct{ net.Listener }

func (l begunListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	first := make([]byte, 16<<10) // larger than any request of these tests
	n, err := conn.Read(first)
	if err != nil {
		n = 0 // the server detects the error
	}
	return &begunConn{conn, first[:n]}, nil
}

type begunConn struct {
	net.Conn
	first []byte
}

func (c *begunConn) Read(p []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.first)
	c.first = c.first[n:]
	return n, nil
}

// TestSlowHeader sends half of a header.
func TestSlowHeader(t *testing.T) {
	h := newHost(t, setup{serve: func(s *http.Server) { s.ReadHeaderTimeout = patience }, listen: withRequest})
	conn, answer := dialSlow(t, h.url)
	_, err := fmt.Fprintf(conn, "GET /files/a HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, answer)
	require.NoError(t, err, "the server ends it")
	assert.Empty(t, h.trail())
}

// TestSlowBody sends half of a body, through a link and in a form. Nothing may
// remain, and the client gets a response if it reads one.
func TestSlowBody(t *testing.T) {
	for _, how := range []string{"link", "form"} {
		t.Run(how, func(t *testing.T) {
			h := newUploadHost(t, setup{
				store: "local://" + t.TempDir(), serve: func(s *http.Server) { s.ReadTimeout = patience }, listen: withRequest,
			}, blobhttp.Intake{}, nil)
			conn, answer := dialSlow(t, h.url)
			if how == "link" {
				u, err := url.Parse(h.link("a", &blobstore.LinkOptions{Method: "PUT"}))
				require.NoError(t, err)
				_, err = fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf", u.RequestURI())
				require.NoError(t, err)
			} else {
				_, err := fmt.Fprintf(conn, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n"+
					"--b\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\nhalf")
				require.NoError(t, err)
			}
			res, err := http.ReadResponse(answer, nil)
			require.NoError(t, err)
			defer res.Body.Close()
			assert.Equal(t, http.StatusRequestTimeout, res.StatusCode)
			var p blobhttp.Problem
			require.NoError(t, json.NewDecoder(res.Body).Decode(&p))
			assert.Equal(t, "request_timeout", p.Code)
			assert.Empty(t, h.keys())
			assert.Zero(t, h.log.OpenIntents())
			uploads := h.trail(audit.ActionUpload)
			require.Len(t, uploads, 1)
			assert.Equal(t, audit.OutcomeFailed, uploads[0].Outcome)
		})
	}
}

// TestSlowForm sends half of the other parts of a form.
func TestSlowForm(t *testing.T) {
	for name, half := range map[string]string{
		"field":         "--b\r\nContent-Disposition: form-data; name=f\r\n\r\nhalf",
		"header":        "--b\r\nContent-Disp",
		"nothing":       "",
		"between parts": "--b\r\nContent-Disposition: form-data; name=f\r\n\r\nx\r\n--b\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			h := newUploadHost(t, setup{serve: func(s *http.Server) { s.ReadTimeout = patience }, listen: withRequest}, blobhttp.Intake{}, nil)
			conn, answer := dialSlow(t, h.url)
			_, err := fmt.Fprintf(conn, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n%s", half)
			require.NoError(t, err)
			res, err := http.ReadResponse(answer, nil)
			require.NoError(t, err)
			defer res.Body.Close()
			assert.Equal(t, http.StatusRequestTimeout, res.StatusCode)
			var p blobhttp.Problem
			require.NoError(t, json.NewDecoder(res.Body).Decode(&p))
			assert.Equal(t, "request_timeout", p.Code)
			assert.Empty(t, h.trail())
		})
	}
}

// TestSlowReader requests more content than the buffers can hold, and does not
// read it.
func TestSlowReader(t *testing.T) {
	closed := make(chan struct{}, 100)
	h := newHost(t, setup{store: "local://" + t.TempDir(), serve: func(s *http.Server) {
		s.WriteTimeout = patience
		s.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed <- struct{}{}
			}
		}
	}})
	_, err := h.store.Upload(h.ctx, "a", bytes.NewReader(make([]byte, 64<<20)), nil)
	require.NoError(t, err)
	u, err := url.Parse(h.link("a", nil))
	require.NoError(t, err)
	conn, _ := dialSlow(t, h.url)
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", u.RequestURI())
	require.NoError(t, err)
	select {
	case <-closed:
	case <-time.After(soon):
		t.Fatal("the server waits for a client that does not read")
	}
	assert.Len(t, h.trail(audit.ActionRedeem), 1)
}

// TestExamplesBoundSlowClients checks that each server in the examples has
// timeouts.
func TestExamplesBoundSlowClients(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.go")
	require.NoError(t, err)
	servers := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if isHTTP(n.Type, "Server") {
					servers++
					var set []string
					for _, e := range n.Elts {
						set = append(set, e.(*ast.KeyValueExpr).Key.(*ast.Ident).Name)
					}
					assert.Subset(t, set, []string{"ReadHeaderTimeout", "IdleTimeout"}, name)
				}
			case *ast.CallExpr:
				for _, without := range []string{"ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS"} {
					assert.False(t, isHTTP(n.Fun, without), "%s: http.%s has no timeouts", name, without)
				}
			}
			return true
		})
	}
	assert.NotZero(t, servers)
}

func isHTTP(n ast.Expr, name string) bool {
	s, ok := n.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "http"
}
