package blobhttp_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// TestManyAtOnce runs 200 uploads in forms, 200 uploads through links and 400
// downloads concurrently. The trail must have all of them, and no goroutine may
// remain.
func TestManyAtOnce(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("run", func(t *testing.T) {
		everyStore(t, func(t *testing.T, store string) {
			const n = 200
			h := newUploadHost(t, setup{store: store}, blobhttp.Intake{Link: &blobstore.LinkOptions{}}, nil)
			shared := strings.Repeat("shared ", 20_000)
			h.put("shared", shared, nil)
			down := h.link("shared", nil)

			do := func(method, url, body string, header ...string) answer {
				a, err := h.try(method, url, body, header...)
				assert.NoError(t, err)
				return a
			}
			var wg sync.WaitGroup
			for i := range n {
				content := fmt.Sprintf("%06d %s", i, strings.Repeat("x", i*100))
				ct, body := formBody(t, formPart{name: "f", filename: "a.txt", content: content})
				wg.Go(func() { // upload in a form, download through the link
					a := do("POST", h.url+"/upload", body, "Content-Type", ct)
					if !assert.Equal(t, 201, a.status, a.body) {
						return
					}
					var got blobhttp.Uploaded
					if assert.NoError(t, json.Unmarshal([]byte(a.body), &got)) {
						assert.Equal(t, content, do("GET", got.Files[0].DownloadURL, "").body)
					}
				})
				up := h.link(fmt.Sprintf("put/%d", i), &blobstore.LinkOptions{Method: "PUT"})
				wg.Go(func() { assert.Equal(t, 201, do("PUT", up, content).status) })
				wg.Go(func() {
					a := do("GET", down, "", "Range", fmt.Sprintf("bytes=%d-", i*7))
					assert.Equal(t, 206, a.status)
					assert.Equal(t, shared[i*7:], a.body)
				})
			}
			wg.Wait()

			assert.Len(t, h.keys(), 2*n+1)
			assert.Zero(t, h.log.OpenIntents())
			count := map[audit.Action]int{}
			for _, e := range h.trail() {
				assert.Equal(t, audit.OutcomeOK, e.Outcome)
				count[e.Action]++
			}
			assert.Equal(t, map[audit.Action]int{
				audit.ActionUpload: 2*n + 1, audit.ActionIssueLink: n + 1, audit.ActionIssueUploadLink: n,
				audit.ActionRedeem: 3 * n, // downloads through the links of forms and the shared link, and uploads
			}, count)
			h.client.CloseIdleConnections()
		})
	})
	for end := time.Now().Add(soon); ; { // each check waits less than a second
		err := goleak.Find(before)
		if err == nil {
			break
		}
		require.True(t, time.Now().Before(end), "%v", err)
	}
}

var uploadSize = flag.Int("upload-size", 128, "MiB of each of the files of TestMemoryDoesNotGrow")

// TestMemoryDoesNotGrow uploads a large file in a form and through a link, and
// downloads it. It measures the heap of the process, which is both server and
// client.
func TestMemoryDoesNotGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 384 MiB")
	}
	size := *uploadSize << 20
	var peak atomic.Uint64
	watch := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		for {
			old := peak.Load()
			if m.HeapAlloc <= old || peak.CompareAndSwap(old, m.HeapAlloc) {
				return
			}
		}
	}
	h := newUploadHost(t, setup{store: "local://" + t.TempDir()}, blobhttp.Intake{Link: &blobstore.LinkOptions{}}, nil)
	runtime.GC()
	watch()
	base := peak.Load()

	ct, form := formBody(t, formPart{name: "f", filename: "a.bin", content: "@"})
	head, tail, _ := strings.Cut(form, "@")
	body := func() io.Reader { return &zeros{n: size, step: 8 << 20, every: watch} }
	res, err := h.client.Post(h.url+"/upload", ct, io.MultiReader(strings.NewReader(head), body(), strings.NewReader(tail)))
	require.NoError(t, err)
	var got blobhttp.Uploaded
	require.NoError(t, json.NewDecoder(res.Body).Decode(&got))
	require.NoError(t, res.Body.Close())
	require.EqualValues(t, size, got.Files[0].Size)

	req, err := http.NewRequest("PUT", h.link("big", &blobstore.LinkOptions{Method: "PUT"}), body())
	require.NoError(t, err)
	res, err = h.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 201, res.StatusCode)

	res, err = h.client.Get(got.Files[0].DownloadURL)
	require.NoError(t, err)
	sum := sha256.New()
	n, err := io.Copy(sum, res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.EqualValues(t, size, n)
	assert.Equal(t, got.Files[0].SHA256, fmt.Sprintf("%x", sum.Sum(nil)))
	watch()
	t.Logf("%d MiB by form, by link, and down again: %d KiB of heap before, %d KiB at most", *uploadSize, base>>10, peak.Load()>>10)
	assert.Less(t, peak.Load(), uint64(64<<20))
}

// zeros gives n zero bytes, and calls every after each step of them.
type zeros struct {
	n, step, told int
	every         func()
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	if len(p) > z.n {
		p = p[:z.n]
	}
	clear(p)
	z.n -= len(p)
	if z.told += len(p); z.told >= z.step {
		z.told = 0
		z.every()
	}
	return len(p), nil
}

// TestContentIsTheSame checks the sizes around the thresholds of the transfer
// methods.
func TestContentIsTheSame(t *testing.T) {
	everyStore(t, func(t *testing.T, store string) {
		h := newHost(t, setup{store: store})
		for _, size := range []int{1, 511, 512, 513, 4095, 4096, 32<<10 - 1, 32 << 10, 32<<10 + 1, 256 << 10, 256<<10 + 1, 1 << 20} {
			content := bytes.Repeat([]byte("0123456789abcdef0"), size/17+1)[:size]
			key := fmt.Sprint(size)
			h.put(key, string(content), nil)
			link := h.link(key, nil)
			a := h.do("GET", link, "")
			assert.True(t, string(content) == a.body, "%d bytes", size)
			a = h.do("GET", link, "", "Range", "bytes=1-")
			if size > 1 {
				assert.True(t, string(content[1:]) == a.body, "%d bytes but one", size)
			}
			a = h.do("GET", link, "", "Range", fmt.Sprintf("bytes=%d-%d", size/3, size*2/3))
			assert.True(t, string(content[size/3:min(size, size*2/3+1)]) == a.body, "the middle of %d bytes", size)
		}
	})
}
