//go:build unix

package integration

// kill -9 and soaking as in internal/crash, on a service that outlives its clients.

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

// counting passes everything on to a service, to its end even if the client is
// gone, and knows how many requests are under way.
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
		// Without the methods and the context that tell that the client is gone.
		proxy.ServeHTTP(struct{ http.ResponseWriter }{w}, r.WithContext(context.WithoutCancel(r.Context())))
	}))
	t.Cleanup(c.Close)
	return c
}

// newSites makes the function that makes sites on PostgreSQL and versitygw.
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
					// Until they are stale, by a clock of whole seconds.
					require.Eventually(t, func() bool { return time.Since(died) > 2*time.Second }, time.Minute, 50*time.Millisecond)
				}
			},
			Strays: func(t *testing.T, _ map[string]bool) []string { return uploads(t, b) },
		}
	}
}

// TestKill takes about as long as what -kills and -kills-at-point say, in
// seconds.
func TestKill(t *testing.T) { crash.Kill(t, newSites(t), *kills, *killsAtPoint) }

func TestSoak(t *testing.T) { crash.Soak(t, newSites(t)(), *soak, *soakKills, 64) }
