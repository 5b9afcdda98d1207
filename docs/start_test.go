package docs

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/config"
)

// TestHandlersOfStartWorkTogether mounts the handlers under the paths that start.md shows, with the default settings,
// and follows its links: good ones, and those that must not be answered.
func TestHandlersOfStartWorkTogether(t *testing.T) {
	dir := t.TempDir()
	cfg, err := config.LoadFrom(map[string]string{
		"LOCAL_STORAGE_PATH": filepath.Join(dir, "files"), "AUDIT_DATABASE_URL": "sqlite:" + filepath.ToSlash(filepath.Join(dir, "trail.db")),
	})
	require.NoError(t, err)
	app, err := blobtrail.Open(t.Context(), &blobtrail.Options{Config: &cfg, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, app.Close(context.Background())) }()

	page := read(t, "start.md")
	pattern := func(handler string) string {
		m := regexp.MustCompile(`mux\.Handle(?:Func)?\("([^"]+)",[^\n]*(?:\n\t)?[^\n]*blobhttp\.` + handler + `[({]`).FindStringSubmatch(page)
		require.NotNil(t, m, "start.md mounts no %s", handler)
		return m[1]
	}
	mux := http.NewServeMux()
	mux.Handle(pattern("Intake"), (&blobhttp.Intake{Store: app.Store}).Form(nil))
	mux.HandleFunc(pattern("Deliver"), func(w http.ResponseWriter, r *http.Request) {
		blobhttp.Deliver(w, r, app.Store, r.PathValue("key"), nil)
	})
	mux.Handle(pattern("Links"), blobhttp.Links(app.Store, nil))
	handler := blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		Identify: func(*http.Request) (user, tenant string, err error) { return "anna", "acme", nil },
	})(mux)
	get := func(link string) int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, link, nil))
		return w.Code
	}

	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna", TenantID: "acme"})
	_, err = app.Store.Upload(ctx, "a", strings.NewReader("content"), nil)
	require.NoError(t, err)
	link, err := app.Store.Link(ctx, "a", nil)
	require.NoError(t, err)
	u, err := url.Parse(link.URL())
	require.NoError(t, err)
	direct := "/" + strings.Trim(strings.TrimPrefix(pattern("Deliver"), "GET "), "/")
	direct = strings.Replace(direct, "{key...}", "a", 1)
	assert.Equal(t, 200, get(direct), "without a link")
	assert.Equal(t, 200, get(link.URL()))
	forged := strings.Replace(link.URL(), "bt-exp=", "bt-exp=1", 1)
	assert.Equal(t, 403, get(forged))
	require.NoError(t, app.Store.Revoke(ctx, "a", link.GrantID))
	assert.Equal(t, 410, get(link.URL()), "revoked")
	for _, query := range []string{u.RawQuery, "bt-sig=x"} {
		assert.Equal(t, 403, get(direct+"?"+query), "a link to another handler")
	}
	_, err = new(blobstore.Redemption).Download(ctx, nil)
	require.ErrorIs(t, err, blobstore.ErrDenied)
}
