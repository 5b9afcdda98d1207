package tus_test

// This file implements a client of the protocol, and the child processes that
// the tests kill.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp/tus"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"

	_ "modernc.org/sqlite"
)

func request(method, url string, body io.Reader, header ...string) (*http.Response, error) {
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return http.DefaultClient.Do(r)
}

// create begins an upload and returns its URL.
func create(base string, size int64, fields map[string]string, header ...string) (string, *http.Response, error) {
	var metadata []string
	for k, v := range fields {
		metadata = append(metadata, k+" "+base64.StdEncoding.EncodeToString([]byte(v)))
	}
	res, err := request("POST", base, nil, append([]string{
		"Upload-Length", strconv.FormatInt(size, 10), "Upload-Metadata", strings.Join(metadata, ","),
	}, header...)...)
	if err != nil {
		return "", nil, err
	}
	body, err := io.ReadAll(res.Body)
	err = errors.Join(err, res.Body.Close())
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res.Header.Get("Location"), res, err
}

// offset requests the current offset of an upload.
func offset(url string, header ...string) (int64, *http.Response, error) {
	res, err := request("HEAD", url, nil, header...)
	if err != nil {
		return 0, nil, err
	}
	if err := res.Body.Close(); err != nil {
		return 0, nil, err
	}
	n, err := strconv.ParseInt(res.Header.Get("Upload-Offset"), 10, 64)
	if res.StatusCode != http.StatusOK {
		n, err = -1, nil
	}
	return n, res, err
}

// send sends the rest of an upload.
func send(url string, from int64, body io.Reader, header ...string) (*http.Response, string, error) {
	res, err := request("PATCH", url, body, append([]string{
		"Upload-Offset", strconv.FormatInt(from, 10), "Content-Type", "application/offset+octet-stream",
	}, header...)...)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

// asUser is a middleware. The user is in the header User, by default "alice".
var asUser = blobhttp.Middleware(&blobhttp.MiddlewareOptions{Identify: func(r *http.Request) (string, string, error) {
	if u := r.Header.Get("User"); u != "" {
		return strings.TrimPrefix(u, "nobody"), "acme", nil
	}
	return "alice", "acme", nil
}})

// childEnv is the variable with the role of a child process.
const childEnv = "BLOBTRAIL_TUS_CHILD"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "client":
		err = clientMain(os.Args[1])
	case "server":
		err = serverMain(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// clientMain resumes an upload with the content of standard input.
func clientMain(url string) error {
	from, _, err := offset(url)
	if err != nil {
		return err
	}
	fmt.Println(from)
	res, body, err := send(url, from, os.Stdin)
	if err != nil {
		return err
	}
	fmt.Println(res.StatusCode, body)
	return nil
}

// serverMain serves uploads until it is killed.
func serverMain(dir string) error {
	ctx := context.Background()
	journal, err := openJournal(ctx, dir)
	if err != nil {
		return err
	}
	store, err := blobstore.Open(ctx, "local://"+dir+"/files?create=true", journal, nil)
	if err != nil {
		return err
	}
	h, err := tus.New(&blobhttp.Intake{Store: store, Prefix: "in"}, dir+"/spool", nil)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/uploads/", h)
	fmt.Println(l.Addr())
	return http.Serve(l, asUser(mux))
}

func openJournal(ctx context.Context, dir string) (*sqlaudit.Journal, error) {
	return sqlaudit.Open(ctx, "sqlite:"+dir+"/trail.db", nil)
}

// child is a child process.
type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startChild(t *testing.T, what string, args ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c := &child{cmd, in, bufio.NewReader(out)}
	t.Cleanup(c.kill)
	return c
}

// kill ends the process without cleanup.
func (c *child) kill() {
	_ = c.Process.Kill() // the process may have ended
	_ = c.Wait()
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	s, err := c.out.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(s)
}

var alice = audit.WithActor(context.Background(), audit.Actor{UserID: "alice", TenantID: "acme"})
