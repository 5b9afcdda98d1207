package main

// This file measures downloads by signed links over a connection, against
// http.ServeFile. The client does as little as possible, so that only the
// servers are compared.

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/signurl"
)

// For comparison, http.ServeFile with the same protective headers and a
// handwritten signature check has 0.79 of its plain speed at 1 KiB. The
// additional cost of links is the entry of the trail, recorded under a
// deadline, and os.Root, which also opens the folders above the file.
var downloads = []row{
	{what: "download by a link, local, 1 KiB", peer: "http.ServeFile", goal: speedAtLeast(0.90), open: downloading(1 << 10)},
	{what: "download by a link, local, 100 KiB", peer: "http.ServeFile", goal: speedAtLeast(0.90), open: downloading(100 << 10)},
	{what: "download by a link, local, 1 MiB", peer: "http.ServeFile", goal: speedAtLeast(1.0), open: downloading(1 << 20)},
	{what: "download by a link, local, 64 MiB", peer: "http.ServeFile", goal: speedAtLeast(1.0), open: downloading(64 << 20)},
	{
		what: "bytes allocated by one download by a link, 100 KiB", peer: "http.ServeFile", unit: sizeInBytes, goal: noMoreThan(16 << 10),
		open: func(e *env) (side, side, error) {
			ours, theirs, err := servers(e, 100<<10)
			if err != nil {
				return nil, nil, err
			}
			return allocated(ours.get), allocated(theirs.get), nil
		},
	},
}

func downloading(size int) func(e *env) (side, side, error) {
	return func(e *env) (side, side, error) {
		ours, theirs, err := servers(e, size)
		if err != nil {
			return nil, nil, err
		}
		return parallel(clients, ours.get), parallel(clients, theirs.get), nil
	}
}

// clients is the number of concurrent connections. With one connection, the row
// would mainly measure the time to wake a goroutine for each response.
const clients = 8

// servers serve one object of the given size from the same file: by a link of a
// store, and by http.ServeFile.
func servers(e *env, size int) (ours, theirs pool, err error) {
	dir, err := e.dir()
	if err != nil {
		return nil, nil, err
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	e.cleanup(func() error { server.Close(); return nil })
	signer, err := signurl.New(server.URL+"/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	if err != nil {
		return nil, nil, err
	}
	store, err := blobstore.Open(e, "local://"+filepath.ToSlash(dir), audit.Discard,
		&blobstore.Options{DefaultActor: audit.Actor{UserID: "bench"}, Signer: signer})
	if err != nil {
		return nil, nil, err
	}
	e.cleanup(func() error { return store.Close(e) })
	obj, err := store.Upload(e, "object.bin", bytes.NewReader(content), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{Expiry: 24 * time.Hour}})
	if err != nil {
		return nil, nil, err
	}
	// Within a second of a modification, each download reads the attributes
	// again. Wait, because most downloads come later.
	time.Sleep(time.Until(obj.ModTime.Add(1100 * time.Millisecond)))
	mux.Handle("/files/", blobhttp.Links(store, nil))
	mux.HandleFunc("/plain", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(dir, "object.bin")) })
	if ours, err = dial(e, obj.Link.URL(), size); err == nil {
		theirs, err = dial(e, server.URL+"/plain", size)
	}
	return ours, theirs, err
}

// pool contains connections that repeatedly request one URL.
type pool chan *client

type client struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	size    int
}

func dial(e *env, address string, size int) (pool, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	p := make(pool, clients)
	for range clients {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			return nil, err
		}
		e.cleanup(conn.Close)
		p <- &client{
			conn: conn, in: bufio.NewReaderSize(conn, 64<<10), size: size,
			request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host),
		}
	}
	return p, nil
}

func (p pool) get() error {
	c := <-p
	defer func() { p <- c }()
	return c.get()
}

// get reads one response without allocating.
func (c *client) get() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("the server responded %q", status)
	}
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == len("\r\n") {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length = 0
			for _, digit := range bytes.TrimSpace(value) {
				length = length*10 + int(digit-'0')
			}
		}
	}
	if length != c.size {
		return errors.New("unexpected length of the response: " + strconv.Itoa(length))
	}
	_, err = c.in.Discard(length)
	return err
}

// allocated measures the bytes allocated by op in the whole process.
func allocated(op func() error) side {
	return func(n int) (float64, error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			if err := op(); err != nil {
				return 0, err
			}
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc-before.TotalAlloc) / float64(n), nil
	}
}
