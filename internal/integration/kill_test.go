//go:build unix

package integration

// This file repeats the kills and the soak of internal/crash on a service that
// outlives its clients.

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/crash"
	"github.com/blobtrail/blobtrail/internal/testdb"
)

var (
	kills        = flag.Int("kills", 4, "kills at random moments")
	killsAtPoint = flag.Int("kills-at-point", 1, "kills at each named point")
	soak         = flag.Duration("soak", 4*time.Second, "how long to soak")
	soakKills    = flag.Duration("soak-kills", 2*time.Second, "the time between two kills of a soak")
)

// counting forwards every request to a service, even after the client has gone.
// It counts the requests in progress.
type counting struct {
	*httptest.Server
	running atomic.Int64
}

func newCounting(t *testing.T, endpoint string) *counting {
	t.Helper()
	u, err := url.Parse(endpoint)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host
			r.Out.Host = r.In.Host // it is signed
		},
		Transport:    &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	c := &counting{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.running.Add(1)
		defer c.running.Add(-1)
		// Hide the methods and the context that report a gone client.
		proxy.ServeHTTP(struct{ http.ResponseWriter }{w}, r.WithContext(context.WithoutCancel(r.Context())))
	}))
	t.Cleanup(c.Close)
	return c
}

// newSites returns a function that creates sites on PostgreSQL and versitygw.
func newSites(t *testing.T) func() crash.Site {
	t.Helper()
	service, database := VersityGW(t), testdb.OwnPostgres(t)
	proxy := newCounting(t, service.Endpoint)
	t.Setenv("AWS_ACCESS_KEY_ID", service.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", service.SecretKey)
	return func() crash.Site {
		u := "s3://" + bucketName() + "?create=true&region=us-east-1&use_path_style=true&stale_after=600ms&endpoint=" + proxy.URL
		b, err := driver.Open(t.Context(), u, driver.Credentials{})
		require.NoError(t, err)
		t.Cleanup(func() { _ = b.Close() })
		return crash.Site{
			BucketURL: u, DSN: database.New(t), Overwrite: true,
			Quiet: func(t *testing.T) {
				require.Eventually(t, func() bool { return proxy.running.Load() == 0 }, time.Minute, time.Millisecond,
					"the service still works for the dead")
				if died := time.Now(); len(uploads(t, b)) > 0 {
					// Wait until they are stale, by a clock of whole seconds.
					require.Eventually(t, func() bool { return time.Since(died) > 2*time.Second }, time.Minute, 50*time.Millisecond)
				}
			},
			Strays: func(t *testing.T, _ map[string]bool) []string { return uploads(t, b) },
		}
	}
}

// TestKill takes about one second for each kill of -kills and -kills-at-point.
func TestKill(t *testing.T) { crash.Kill(t, newSites(t), *kills, *killsAtPoint) }

func TestSoak(t *testing.T) { crash.Soak(t, newSites(t)(), *soak, *soakKills, 64) }
