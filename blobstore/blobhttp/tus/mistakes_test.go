package tus_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp/tus"
	"github.com/blobtrail/blobtrail/internal/testlog"
)

// hooked is a middleware with OnError that removes the actor.
func hooked(onError func(*http.Request, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return blobhttp.Middleware(&blobhttp.MiddlewareOptions{OnError: onError})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(audit.WithActor(r.Context(), audit.Actor{})))
		}))
	}
}

// TestMistakesOfTheProgramAreReported checks that requests with links are
// refused, that a missing middleware is reported, and that neither floods the
// log.
func TestMistakesOfTheProgramAreReported(t *testing.T) {
	store, err := blobstore.Open(t.Context(), "mem://", new(audit.Memory), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.Background())) })
	for name, c := range map[string]struct {
		path   string
		status int
		says   string
	}{
		"a link":                    {"/uploads/?bt-v=1&bt-sig=x", 403, "does not verify links"},
		"a link to a file":          {"/uploads/a/b.pdf?bt-v=1&bt-sig=x", 403, "does not verify links"},
		"no middleware in front of": {"/uploads/", 401, "blobhttp.Middleware"},
	} {
		t.Run(name, func(t *testing.T) {
			var log testlog.Buffer
			before := slog.Default()
			slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
			defer slog.SetDefault(before)
			var heard []error
			for _, hook := range []func(http.Handler) http.Handler{
				func(h http.Handler) http.Handler { return h },
				hooked(func(_ *http.Request, err error) { heard = append(heard, err) }),
			} {
				h, err := tus.New(&blobhttp.Intake{Store: store}, t.TempDir(), nil)
				require.NoError(t, err)
				for range 5 {
					r := httptest.NewRequest(http.MethodPost, c.path, nil)
					for k, v := range map[string]string{"Tus-Resumable": "1.0.0", "Upload-Length": "0"} {
						r.Header.Set(k, v)
					}
					r.Pattern = t.Name() // mistakes are logged once a minute per route
					w := httptest.NewRecorder()
					hook(h).ServeHTTP(w, r)
					assert.Equal(t, c.status, w.Code, w.Body.String())
				}
				require.NoError(t, h.Close())
			}
			assert.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
			assert.Contains(t, log.String(), c.says)
			assert.NotContains(t, log.String(), "bt-sig")
			require.Len(t, heard, 5)
			for _, err := range heard {
				assert.ErrorIs(t, err, blobhttp.ErrMisconfigured)
			}
		})
	}
}
