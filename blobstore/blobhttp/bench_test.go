//go:build unix

package blobhttp_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/signurl"
)

// BenchmarkDownload downloads through Links and through http.ServeFile
// alternately, on a loopback connection. It reports the throughput of Links
// relative to ServeFile (median of rounds, by clock and by CPU time), and the
// allocations of the server per request. The trail is audit.Discard.
func BenchmarkDownload(b *testing.B) {
	for _, backend := range []string{"local", "file"} {
		for _, size := range []int{1 << 10, 100 << 10, 1 << 20, 64 << 20} {
			b.Run(fmt.Sprintf("%s/%s", backend, sizeName(size)), func(b *testing.B) { benchmarkDownload(b, backend, size) })
		}
	}
}

func sizeName(n int) string {
	if n >= 1<<20 {
		return strconv.Itoa(n>>20) + "MiB"
	}
	return strconv.Itoa(n>>10) + "KiB"
}

func benchmarkDownload(b *testing.B, backend string, size int) {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "u"})
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	defer srv.Close()
	signer, err := signurl.New(srv.URL+"/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(b, err)
	dir := b.TempDir()
	store, err := blobstore.Open(ctx, backend+"://"+dir, audit.Discard, &blobstore.Options{Signer: signer})
	require.NoError(b, err)
	defer store.Close(context.Background())

	content := make([]byte, size)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	obj, err := store.Upload(ctx, "folder/object.bin", bytes.NewReader(content), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
	require.NoError(b, err)
	plain := filepath.Join(dir, "folder", "object.bin") // the same file
	require.FileExists(b, plain)
	mux.Handle("/files/", blobhttp.Links(store, nil))
	mux.HandleFunc("/plain", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, plain) })

	links, serveFile := newRawClient(b, obj.Link.URL(), size), newRawClient(b, srv.URL+"/plain", size)
	const perRound = 50
	n := max(1, min(perRound, (16<<20)/size)) // requests per round and side
	var wall, cpu []float64
	var ours, theirs time.Duration
	rounds := 0
	for b.Loop() {
		c0 := cpuTime()
		t1 := links.get(b, n)
		c1 := cpuTime()
		t2 := serveFile.get(b, n)
		c2 := cpuTime()
		ours, theirs = ours+t1, theirs+t2
		wall = append(wall, float64(t2)/float64(t1))
		cpu = append(cpu, float64(c2-c1)/float64(c1-c0))
		rounds++
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	b.ReportMetric(wall[len(wall)/2], "x-ServeFile")
	b.ReportMetric(cpu[len(cpu)/2], "x-ServeFile-cpu")
	total := float64(size) * float64(n*rounds) / 1e6
	b.ReportMetric(total/ours.Seconds(), "MB/s")
	b.ReportMetric(total/theirs.Seconds(), "MB/s-ServeFile")
	b.ReportMetric(allocatedBy(func() { links.get(b, 100) })/100, "B/req")
	b.ReportMetric(allocatedBy(func() { serveFile.get(b, 100) })/100, "B/req-ServeFile")
	b.ReportMetric(0, "ns/op")
}

// cpuTime returns the CPU time of the process. Other processes affect it less
// than the clock.
func cpuTime() time.Duration {
	var ru unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func allocatedBy(f func()) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// rawClient allocates no memory, so the benchmark measures only the server.
type rawClient struct {
	conn    net.Conn
	request []byte
	size    int
	buf     []byte
}

func newRawClient(b *testing.B, link string, size int) *rawClient {
	b.Helper()
	u, err := url.Parse(link)
	require.NoError(b, err)
	conn, err := net.Dial("tcp", u.Host)
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	return &rawClient{
		conn: conn, size: size, buf: make([]byte, 256<<10),
		request: []byte("GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: bench\r\n\r\n"),
	}
}

// get sends n requests in sequence.
func (c *rawClient) get(b *testing.B, n int) time.Duration {
	start := time.Now()
	for range n {
		if _, err := c.conn.Write(c.request); err != nil {
			b.Fatal(err)
		}
		have := 0 // bytes in buf
		end := -1 // end of the header
		for end < 0 {
			m, err := c.conn.Read(c.buf[have:])
			if err != nil {
				b.Fatal(err)
			}
			have += m
			end = bytes.Index(c.buf[:have], []byte("\r\n\r\n"))
		}
		if !bytes.HasPrefix(c.buf, []byte("HTTP/1.1 200 ")) {
			b.Fatalf("%s", c.buf[:have])
		}
		for got := have - end - 4; got < c.size; {
			m, err := c.conn.Read(c.buf)
			if err != nil {
				b.Fatal(err)
			}
			got += m
		}
	}
	return time.Since(start)
}
