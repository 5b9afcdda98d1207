package integration

// This file tests a client that shares no code with the library. curl uses our
// links, and repeats each request with its own signature. The service must
// respond identically.

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// seen is the client's view of a response. For an error, it has the code.
type seen struct {
	Status, Type, ETag string
	Body               string
}

// curl sends a request and returns the response.
func curl(t *testing.T, method, url string, headers http.Header, body []byte, args ...string) seen {
	t.Helper()
	const marks = "\n%{http_code}\n%{content_type}\n%header{etag}"
	args = append(args, "--silent", "--show-error", "--max-time", "30", "--write-out", marks, "--globoff", "--path-as-is")
	switch method {
	case http.MethodHead:
		args = append(args, "--head", "--output", "/dev/null")
	default:
		args = append(args, "--request", method)
	}
	for k, values := range headers {
		for _, v := range values {
			args = append(args, "--header", k+": "+v)
		}
	}
	if body != nil {
		args = append(args, "--data-binary", "@-")
	}
	cmd := exec.CommandContext(t.Context(), "curl", append(args, url)...)
	cmd.Stdin = bytes.NewReader(body)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	lines := strings.Split(string(out), "\n")
	n := len(lines)
	got := seen{Status: lines[n-3], Type: lines[n-2], ETag: lines[n-1], Body: strings.Join(lines[:n-3], "\n")}
	if _, rest, ok := strings.Cut(got.Body, "<Code>"); ok {
		got.Body, _, _ = strings.Cut(rest, "</Code>") // the rest is specific to this request
	}
	return got
}

func TestCurlUsesLinksAndSignsItself(t *testing.T) {
	_, err := exec.LookPath("curl")
	require.NoError(t, err, "install curl")
	s3Servers(t, func(t *testing.T, s *S3) {
		o := s.options()
		o.Encryption = "none"
		b := openS3(t, o)
		ctx := t.Context()
		const key = "invoices/2026-01/scan_1.txt"
		address := s.Endpoint + "/" + o.Bucket + "/" + key
		byItself := func(secret, method string, header http.Header, body []byte) seen {
			if header = header.Clone(); header == nil {
				header = http.Header{}
			}
			header.Set("X-Amz-Content-Sha256", fmt.Sprintf("%x", sha256.Sum256(body))) // older versions do not send it
			return curl(t, method, address, header, body, "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", s.AccessKey+":"+secret)
		}
		object := func() string {
			r, err := b.Read(ctx, key, 0, -1)
			if err != nil {
				require.ErrorIs(t, err, fs.ErrNotExist)
				return "none"
			}
			p, err := io.ReadAll(r)
			require.NoError(t, errors.Join(err, r.Close()))
			return r.Attributes.ContentType + ": " + string(p)
		}
		// twice sends the same request by a link and with curl's own signature.
		twice := func(method string, so driver.SignOptions, body []byte) (seen, string) {
			before, _ := b.Blob().ReadAll(ctx, key)
			so.Method = method
			link := signed(t, b, key, so)
			first, left := curl(t, method, link.URL, link.Header, body), object()
			if before != nil && method != http.MethodPut {
				require.NoError(t, b.Write(ctx, key, bytes.NewReader(before), &driver.WriteOptions{Size: -1, ContentType: "text/plain"}))
			}
			assert.Equal(t, byItself(s.SecretKey, method, link.Header, body), first, method)
			assert.Equal(t, left, object(), method)
			return first, left
		}
		put, left := twice(http.MethodPut, driver.SignOptions{ContentType: "text/plain"}, []byte("sent by curl"))
		assert.Equal(t, "200", put.Status)
		assert.Equal(t, "text/plain: sent by curl", left)
		got, _ := twice(http.MethodGet, driver.SignOptions{}, nil)
		assert.Equal(t, seen{Status: "200", Type: "text/plain", ETag: put.ETag, Body: "sent by curl"}, got)
		head, _ := twice(http.MethodHead, driver.SignOptions{}, nil)
		assert.Equal(t, seen{Status: "200", Type: "text/plain", ETag: put.ETag}, head)
		del, left := twice(http.MethodDelete, driver.SignOptions{}, nil)
		assert.Equal(t, "204", del.Status)
		assert.Equal(t, "none", left)
		missing, _ := twice(http.MethodGet, driver.SignOptions{}, nil)
		assert.Equal(t, "404", missing.Status)

		// An invalid signature of either kind is refused in the same way.
		link := signed(t, b, key, driver.SignOptions{Method: http.MethodGet})
		refused := curl(t, http.MethodGet, strings.Replace(link.URL, "X-Amz-Signature=", "X-Amz-Signature=0", 1), nil, nil)
		assert.Equal(t, seen{Status: "403", Type: "application/xml", Body: "SignatureDoesNotMatch"}, refused)
		assert.Equal(t, refused, byItself("wrong", http.MethodGet, nil, nil))
	})
}
