package integration

// This file tests services that are down, hang, send garbage or are cut off.
// Every call must end in time with success or an error, and the state of the
// bucket must match the result.

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/secret"
)

// faulty is a proxy between a provider and its service.
type faulty struct {
	*httptest.Server
	next  http.Handler
	fault atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool] // returns true if it has responded
}

func newFaulty(t *testing.T, endpoint string) *faulty {
	u, err := url.Parse(endpoint)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		FlushInterval: -1,
	}
	f := &faulty{next: proxy}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fault := f.fault.Load(); fault != nil && (*fault)(w, r) {
		return
	}
	f.next.ServeHTTP(w, r)
}

func (f *faulty) set(fault func(w http.ResponseWriter, r *http.Request) bool) { f.fault.Store(&fault) }

// cut closes the connection immediately.
func cut(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.Close()
	}
}

const stall = 2 * time.Second

// throughFaults opens a new bucket, directly and through a faulty.
var throughFaults = map[string]func(t *testing.T) (direct, faulted driver.Bucket, f *faulty){
	"s3/versitygw": func(t *testing.T) (driver.Bucket, driver.Bucket, *faulty) {
		o := VersityGW(t).options()
		direct := openS3(t, o)
		f := newFaulty(t, o.Endpoint)
		o.Endpoint, o.StallTimeout, o.StaleAfter = f.URL, stall, 5*time.Second
		return direct, openS3(t, o), f
	},
	"azure/azurite": func(t *testing.T) (driver.Bucket, driver.Bucket, *faulty) {
		a := Azurite(t)
		o := a.options()
		direct := openAzure(t, o)
		u, err := url.Parse(a.Endpoint)
		require.NoError(t, err)
		f := newFaulty(t, "http://"+u.Host)
		o.ConnectionString = secret.New(strings.Replace(o.ConnectionString.Reveal(), "http://"+u.Host, f.URL, 1))
		o.StallTimeout = stall
		return direct, openAzure(t, o), f
	},
	"gcs/fake+gate": func(t *testing.T) (driver.Bucket, driver.Bucket, *faulty) {
		g := FakeGCS(t)
		o := g.options()
		direct := openGCS(t, o)
		f := newFaulty(t, o.Endpoint)
		// fake-gcs-server accepts links only under its own name.
		o.PublicEndpoint, o.Endpoint, o.StallTimeout = o.Endpoint, f.URL, stall
		return direct, openGCS(t, o), f
	},
}

func TestFaults(t *testing.T) {
	type fault func(f *faulty)
	times := func(n int32, answer func(w http.ResponseWriter)) fault {
		return func(f *faulty) {
			var count atomic.Int32
			f.set(func(w http.ResponseWriter, r *http.Request) bool {
				if count.Add(1) > n {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body)
				answer(w)
				return true
			})
		}
	}
	status := func(code int) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(code) }
	}
	const forever = 1 << 30
	for _, tt := range []struct {
		name    string
		fault   fault
		limit   time.Duration
		succeed bool // the call must succeed
	}{
		{"500 three times", times(3, status(500)), time.Minute, true},
		{"503 three times", times(3, status(503)), time.Minute, true},
		{"503 for ever", times(forever, status(503)), time.Minute, false},
		{"cut without an answer, twice", times(2, cut), time.Minute, true},
		{"cut without an answer, for ever", times(forever, cut), time.Minute, false},
		{"cut after its effect, once", func(f *faulty) {
			var count atomic.Int32
			f.set(func(w http.ResponseWriter, r *http.Request) bool {
				if count.Add(1) > 1 {
					return false
				}
				f.next.ServeHTTP(httptest.NewRecorder(), r)
				cut(w)
				return true
			})
		}, time.Minute, false},
		{"hangs", func(f *faulty) {
			f.set(func(_ http.ResponseWriter, r *http.Request) bool {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				return true
			})
		}, time.Minute, false},
		{"down", func(f *faulty) { f.CloseClientConnections(); _ = f.Listener.Close() }, time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, open := range throughFaults {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					direct, b, f := open(t)
					ctx := t.Context()
					for _, n := range []int{1000, 9 << 20} {
						want := content(n)
						key := "k" + string(rune('0'+n%7))
						tt.fault(f)
						begun := time.Now()
						err := write(ctx, b, key, want, -1, false)
						took := time.Since(begun)
						f.fault.Store(nil)
						assert.Less(t, took, tt.limit)
						if tt.succeed {
							assert.NoError(t, err)
						}
						t.Logf("writing %d bytes took %v: %v", n, took.Round(time.Millisecond), err)
						if err == nil {
							got, _ := readAll(t, direct, key, 0, -1)
							assert.True(t, bytes.Equal(want, got))
							continue
						}
						assert.False(t, errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist), "%v", err)
						// The effect may be complete or missing; the store
						// finds out.
						if r, err := direct.Read(ctx, key, 0, -1); err == nil {
							got, err := io.ReadAll(r)
							require.NoError(t, err)
							require.NoError(t, r.Close())
							assert.True(t, bytes.Equal(want, got), "half an object stands")
						} else {
							assert.ErrorIs(t, err, fs.ErrNotExist)
						}
					}
				})
			}
		})
	}
}

func TestCutDownload(t *testing.T) {
	for name, open := range throughFaults {
		t.Run(name, func(t *testing.T) {
			direct, b, f := open(t)
			want := content(3 << 20)
			require.NoError(t, write(t.Context(), direct, "k", want, -1, false))
			for _, cuts := range []int32{1, 1 << 30} {
				var count atomic.Int32
				f.set(func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodGet || strings.Contains(r.URL.Path, "/o/") && r.URL.Query().Get("alt") != "media" || count.Add(1) > cuts {
						return false
					}
					f.next.ServeHTTP(&cutting{ResponseWriter: w, left: 1 << 20}, r)
					return true
				})
				begun := time.Now()
				r, err := b.Read(t.Context(), "k", 0, -1)
				var got []byte
				if err == nil {
					got, err = io.ReadAll(r)
					require.NoError(t, r.Close())
				}
				f.fault.Store(nil)
				assert.Less(t, time.Since(begun), 30*time.Second)
				t.Logf("cut %d times: %d bytes, %v", count.Load(), len(got), err)
				if cuts == 1 {
					require.NoError(t, err)
				}
				if err == nil {
					require.True(t, bytes.Equal(want, got))
				} else {
					require.True(t, bytes.HasPrefix(want, got))
				}
			}
		})
	}
}

// cutting closes the connection after some bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func (c *cutting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// If the connection is cut while the content is sent, neither an object nor a
// multipart upload may remain.
func TestCutUpload(t *testing.T) {
	for name, open := range throughFaults {
		t.Run(name, func(t *testing.T) {
			direct, b, f := open(t)
			var large atomic.Int32
			f.set(func(w http.ResponseWriter, r *http.Request) bool {
				if r.ContentLength < 1<<20 {
					return false
				}
				large.Add(1)
				_, _ = io.CopyN(io.Discard, r.Body, 1<<19)
				cut(w)
				return true
			})
			for _, size := range []int64{-1, 12 << 20, 40 << 20} {
				n := 20 << 20
				if size > 0 {
					n = int(size)
				}
				err := write(t.Context(), b, "k", content(n), size, true)
				require.Error(t, err)
				require.NotContains(t, err.Error(), "upload_id", "whoever has it may go on with the upload")
				_, err = direct.Read(t.Context(), "k", 0, -1)
				require.ErrorIs(t, err, fs.ErrNotExist)
				if strings.HasPrefix(name, "s3") {
					require.Empty(t, uploads(t, direct))
				}
			}
			require.Positive(t, large.Load())
		})
	}
}

// A server that never responds must not block opening.
func TestHangingServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close() //nolint:errcheck // nothing was accepted
	endpoint := "http://" + l.Addr().String()
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=YQ==;BlobEndpoint="+endpoint+"/a")
	var wg sync.WaitGroup
	for _, u := range []string{
		"s3://bucket?region=us-east-1&use_path_style=true&endpoint=" + endpoint,
		"azblob://container",
		"gs://bucket?anonymous=true&endpoint=" + endpoint,
	} {
		wg.Go(func() {
			begun := time.Now()
			_, err := driver.Open(t.Context(), u, driver.Credentials{})
			assert.ErrorContains(t, err, "did not respond within 5s")
			assert.Less(t, time.Since(begun), 15*time.Second) // 5 s on an idle machine
		})
	}
	wg.Wait()
}
