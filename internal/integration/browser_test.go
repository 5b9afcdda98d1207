package integration

// This file tests responses in a real browser: whether it sends requests as
// CORS permits, under which name it saves a file, and whether it runs stored
// scripts.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/signurl"
)

//go:embed testdata/upload.html
var pages embed.FS

// app is an application with pages and an API on one origin, and files on
// another.
type app struct {
	t      *testing.T
	ctx    context.Context // of the user "anna"
	log    *audit.Memory
	store  *blobstore.Store
	origin string // of the pages
	mux    *http.ServeMux
	ran    sync.Map // scripts that reported that they ran
}

func newApp(t *testing.T, bucket driver.Bucket, links func(origin string) *blobhttp.LinksOptions) *app {
	t.Helper()
	a := &app{t: t, log: new(audit.Memory), mux: http.NewServeMux()}
	a.ctx = audit.WithActor(context.Background(), audit.Actor{UserID: "anna"})
	asAnna := blobhttp.Middleware(&blobhttp.MiddlewareOptions{
		Identify: func(*http.Request) (string, string, error) { return "anna", "", nil },
	})
	pagesServer := httptest.NewServer(asAnna(a.mux))
	t.Cleanup(pagesServer.Close)
	a.origin = pagesServer.URL
	filesMux := http.NewServeMux()
	filesServer := httptest.NewServer(filesMux)
	t.Cleanup(filesServer.Close)
	signer, err := signurl.New(filesServer.URL+"/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(t, err)
	a.store, err = blobstore.New(bucket, a.log, &blobstore.Options{Signer: signer})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.store.Close(context.Background())) })
	filesMux.Handle("/files/", blobhttp.Links(a.store, links(a.origin)))
	a.mux.Handle("/uploads/", (&blobhttp.Intake{
		Store: a.store, Prefix: "in", MaxSize: 64 << 20, AllowedTypes: []string{"application/octet-stream", "text/plain"},
	}).Direct())
	a.mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, pages, "testdata/upload.html")
	})
	a.mux.HandleFunc("/ran/{script}", func(w http.ResponseWriter, r *http.Request) {
		a.ran.Store(r.PathValue("script"), true)
		w.Header().Set("Access-Control-Allow-Origin", "*")
	})
	return a
}

// uploaded is the report of the page.
type uploaded struct {
	Failed    string
	Method    string
	Status    int
	Aborted   int
	Completed int
	SHA256    string
	Progress  []float64
	File      blobhttp.UploadedFile
}

// upload makes the page upload a file of random bytes.
func (a *app) upload(tab context.Context, name string, size int, exact bool) (out uploaded) {
	a.t.Helper()
	call := fmt.Sprintf(`upload(%q, "application/octet-stream", %d, %t).then(JSON.stringify)`, name, size, exact)
	// Limit the bandwidth, so that the page shows progress.
	_, err := cdp.Call(tab, chromedp.FromContext(tab).Target, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{DownloadThroughput: -1, UploadThroughput: 6 << 20}},
	})
	require.NoError(a.t, err)
	require.NoError(a.t, chromedp.Do(tab, chromedp.Navigate(a.origin+"/page")))
	raw, err := chromedp.Run(tab, chromedp.Evaluate[string](call, chromedp.EvalAwaitPromise))
	require.NoError(a.t, err)
	require.NoError(a.t, json.Unmarshal([]byte(raw), &out))
	return out
}

// TestBrowserUploadsStraightToTheBackend sends files from a page to another
// origin, before and after the origin permits it.
func TestBrowserUploadsStraightToTheBackend(t *testing.T) {
	chrome := Chromium(t)
	for name, c := range map[string]struct {
		open  func(t *testing.T) driver.Bucket
		allow func(t *testing.T, b driver.Bucket, origin string) // sets the rules of docs/cors.md
	}{
		"local": {
			func(t *testing.T) driver.Bucket { return openURL(t, "local://"+t.TempDir()) },
			func(*testing.T, driver.Bucket, string) {}, // by LinksOptions
		},
		"s3/versitygw": {
			func(t *testing.T) driver.Bucket { return openS3(t, VersityGW(t).options()) },
			func(t *testing.T, b driver.Bucket, origin string) {
				_, err := s3Client(t, b).PutBucketCors(t.Context(), &s3.PutBucketCorsInput{
					Bucket: aws.String(bucketOf(b)),
					CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{
						AllowedOrigins: []string{origin}, AllowedMethods: []string{"PUT", "POST", "GET", "HEAD"},
						AllowedHeaders: []string{"content-type", "if-none-match", "x-amz-*"}, ExposeHeaders: []string{"ETag"},
						MaxAgeSeconds: aws.Int32(600),
					}}},
				})
				require.NoError(t, err)
			},
		},
		"azure/azurite": {
			func(t *testing.T) driver.Bucket { return openAzure(t, Azurite(t).options()) },
			func(t *testing.T, _ driver.Bucket, origin string) {
				client, err := service.NewClientFromConnectionString(Azurite(t).ConnectionString, nil)
				require.NoError(t, err)
				_, err = client.SetProperties(t.Context(), &service.SetPropertiesOptions{CORS: []*service.CORSRule{{
					AllowedOrigins: to.Ptr(origin), AllowedMethods: to.Ptr("PUT,GET,HEAD,OPTIONS"),
					AllowedHeaders: to.Ptr("content-type,x-ms-*"), ExposedHeaders: to.Ptr("ETag"), MaxAgeInSeconds: to.Ptr[int32](600),
				}}})
				require.NoError(t, err)
			},
		},
		"gcs/fake+gate": {
			func(t *testing.T) driver.Bucket { return openGCS(t, FakeGCS(t).options()) },
			func(t *testing.T, _ driver.Bucket, origin string) {
				FakeGCS(t).Gate.SetCORS(&CORS{
					Origins: []string{origin}, Methods: []string{"PUT", "GET", "HEAD"},
					ResponseHeaders: []string{"Content-Type", "ETag", "x-goog-content-length-range", "x-goog-if-generation-match"},
				})
				t.Cleanup(func() { FakeGCS(t).Gate.SetCORS(nil) })
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := c.open(t)
			strict := newApp(t, keepOpen{bucket}, func(string) *blobhttp.LinksOptions { return nil })
			tab := chrome.Tab(t)
			refused := strict.upload(tab, "a.bin", 1000, true)
			assert.Equal(t, "send", refused.Failed)
			assert.Zero(t, refused.Status, "the browser must not let it through: %+v", refused)
			assert.Equal(t, 204, refused.Aborted)
			assert.Zero(t, strict.log.OpenIntents())

			a := newApp(t, bucket, func(origin string) *blobhttp.LinksOptions {
				return &blobhttp.LinksOptions{AllowedOrigins: []string{origin}}
			})
			c.allow(t, bucket, a.origin)
			const size = 3 << 20
			for _, exact := range []bool{true, false} {
				got := a.upload(tab, "Rechnung März.bin", size, exact)
				require.Equal(t, 200, got.Completed, "%+v", got)
				assert.Equal(t, "Rechnung März.bin", got.File.Filename)
				assert.EqualValues(t, size, got.File.Size)
				assert.GreaterOrEqual(t, len(got.Progress), 3, "progress is shown on the way")
				assert.True(t, slices.IsSorted(got.Progress))
				assert.InDelta(t, 1, got.Progress[len(got.Progress)-1], 1e-9)
				r, err := a.store.Download(a.ctx, got.File.Key, nil)
				require.NoError(t, err)
				sum := sha256.New()
				_, err = io.Copy(sum, r)
				require.NoError(t, errors.Join(err, r.Close()))
				assert.Equal(t, got.SHA256, hex.EncodeToString(sum.Sum(nil)), "the same bytes")
				t.Logf("%s, exact size %t: %s, status %d, %d progress events", name, exact, got.Method, got.Status, len(got.Progress))
			}
			assert.Zero(t, a.log.OpenIntents())
		})
	}
}

// keepOpen is a bucket that a store cannot close.
type keepOpen struct{ driver.Bucket }

func (keepOpen) Close() error { return nil }

// saves opens a URL that the browser saves, and returns the path of the file.
func saves(t *testing.T, tab context.Context, address string) string {
	t.Helper()
	dir := t.TempDir()
	done := make(chan string, 1)
	listen, cancel := context.WithCancel(tab)
	defer cancel()
	require.NoError(t, chromedp.ListenBrowser(listen, func(ev any) {
		if p, ok := ev.(*cdpbrowser.EventDownloadProgress); ok && p.State != cdpbrowser.DownloadProgressStateInProgress {
			select {
			case done <- p.State.String():
			default:
			}
		}
	}))
	c := chromedp.FromContext(tab)
	_, err := cdp.Call(tab, c.Browser, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: c.BrowserContextID,
		DownloadPath: dir, EventsEnabled: to.Ptr(true),
	})
	require.NoError(t, err)
	err = chromedp.Do(tab, chromedp.Navigate(address))
	require.ErrorContains(t, err, "net::ERR_ABORTED", "the browser leaves the page as it is, and saves")
	select {
	case state := <-done:
		require.Equal(t, "completed", state)
	case <-tab.Done():
		require.NoError(t, tab.Err())
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)
	return filepath.Join(dir, files[0].Name())
}

func noLinksOptions(string) *blobhttp.LinksOptions { return nil }

func (a *app) put(key, content string, opts *blobstore.UploadOptions) {
	a.t.Helper()
	_, err := a.store.Upload(a.ctx, key, strings.NewReader(content), opts)
	require.NoError(a.t, err)
}

func (a *app) link(key string, opts *blobstore.LinkOptions) string {
	a.t.Helper()
	l, err := a.store.Link(a.ctx, key, opts)
	require.NoError(a.t, err)
	return l.URL()
}

// TestBrowserSavesUnicodeNames checks that the saved file has the uploaded
// name, from every backend.
func TestBrowserSavesUnicodeNames(t *testing.T) {
	chrome := Chromium(t)
	for _, be := range append([]backend{{name: "local", open: func(t testing.TB) driver.Bucket { return openURL(t, "local://"+t.TempDir()) }}}, backends...) {
		t.Run(be.name, func(t *testing.T) {
			a := newApp(t, be.open(t), noLinksOptions)
			tab := chrome.Tab(t)
			for key, name := range map[string]string{"a": "Rechnung März “7” 100%.txt", "b": "請求書 📄.txt", "c": "a;b, c='d'.txt"} {
				a.put(key, "content of "+name, &blobstore.UploadOptions{Filename: name})
				path := saves(t, tab, a.link(key, &blobstore.LinkOptions{Filename: name}))
				assert.Equal(t, name, filepath.Base(path))
				got, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, "content of "+name, string(got))
			}
		})
	}
}

// TestBrowserRunsNoStoredScript uploads scripts in every form that browsers
// run, and opens them in every way that a page can: directly, in frames, as
// images and as scripts. A control shows that they run without protection.
func TestBrowserRunsNoStoredScript(t *testing.T) {
	chrome := Chromium(t)
	for title, inline := range map[string][]string{
		"default":                     nil,
		"a host that shows all types": {"text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript", "image/png", "text/plain"},
	} {
		t.Run(title, func(t *testing.T) {
			a := newApp(t, openURL(t, "local://"+t.TempDir()), func(string) *blobhttp.LinksOptions {
				return &blobhttp.LinksOptions{InlineTypes: inline}
			})
			files := func(script string) map[string][2]string { // type and content
				script = fmt.Sprintf(`fetch(%q); document.title = "ran"`, a.origin+"/ran/"+script)
				html := "<!DOCTYPE html><meta charset=utf-8><p>shown</p><script>" + script + "</script><img src=x onerror='" + strings.ReplaceAll(script, `"`, "&quot;") + "'>"
				svg := `<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10"/><script>` + script + `</script></svg>`
				return map[string][2]string{
					"page.html": {"text/html", html}, "picture.svg": {"image/svg+xml", svg},
					"page.xhtml":   {"application/xhtml+xml", `<html xmlns="http://www.w3.org/1999/xhtml"><p>shown</p><script>` + script + `</script></html>`},
					"liar.png":     {"image/png", html},
					"liar.txt":     {"text/plain", html},
					"script.js":    {"text/javascript", script},
					"untyped.html": {"", html},
				}
			}
			const last = "last.html"
			hostile := files("stored")
			control := map[string][2]string{last: files(last)["page.html"]}
			for _, name := range []string{"page.html", "picture.svg", "page.xhtml"} { // the others do not run without a page
				control[name] = files(name)[name]
			}
			a.mux.HandleFunc("/control/", func(w http.ResponseWriter, r *http.Request) {
				h := control[strings.TrimPrefix(r.URL.Path, "/control/")]
				w.Header().Set("Content-Type", h[0])
				_, _ = io.WriteString(w, h[1])
			})
			var embedding string
			a.mux.HandleFunc("/embedding", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				_, _ = io.WriteString(w, embedding)
			})
			tab := chrome.Tab(t)
			shows := func(address string) {
				t.Helper()
				err := chromedp.Do(tab, chromedp.Navigate(address))
				if err != nil {
					require.ErrorContains(t, err, "net::ERR_ABORTED") // saved, not shown
				}
			}
			runs := func(name string) {
				t.Helper()
				shows(a.origin + "/control/" + name)
				require.Eventually(t, func() bool { _, ran := a.ran.Load(name); return ran }, startTimeout, 5*time.Millisecond, "the control %s must run", name)
			}
			for name := range control {
				if name != last {
					runs(name)
				}
			}
			for name, h := range hostile {
				a.put(name, h[1], &blobstore.UploadOptions{ContentType: h[0], Filename: name})
				link := a.link(name, &blobstore.LinkOptions{Inline: true})
				shows(link)
				esc := strings.ReplaceAll(link, "&", "&amp;")
				embedding = fmt.Sprintf(`<!DOCTYPE html><title>embedding</title><iframe src="%[1]s"></iframe><object data="%[1]s"></object>
					<embed src="%[1]s"><img src="%[1]s"><script src="%[1]s"></script><link rel="stylesheet" href="%[1]s">
					<script>addEventListener("load", () => { document.title = "loaded" })</script>`, esc)
				require.NoError(t, chromedp.Do(tab, chromedp.Navigate(a.origin+"/embedding")))
				_, err := chromedp.Run(tab, chromedp.Poll[bool](`document.title === "loaded"`))
				require.NoError(t, err)
			}
			// An earlier script would have reported before this one of the same
			// browser.
			runs(last)
			_, ran := a.ran.Load("stored")
			assert.False(t, ran, "only the control may run")
		})
	}
}

// redPage is a PDF with one red page.
const redPage = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj " +
	"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 500 500]/Contents 4 0 R>>endobj " +
	"4 0 obj<</Length 26>>stream\n1 0 0 rg 0 0 500 500 re f \nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

// red counts the red pixels in a tab.
func red(tab context.Context) (n int, err error) {
	shot, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		return 0, err
	}
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return 0, err
	}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if r, g, b, _ := img.At(x, y).RGBA(); r > 0xe000 && g < 0x2000 && b < 0x2000 {
				n++
			}
		}
	}
	return n, nil
}

// TestBrowserShowsPDF checks that the protective headers permit the browser's
// PDF viewer.
func TestBrowserShowsPDF(t *testing.T) {
	chrome := Chromium(t)
	a := newApp(t, openURL(t, "local://"+t.TempDir()), noLinksOptions)
	a.put("a.pdf", redPage, nil)
	tab := chrome.Tab(t)
	a.mux.HandleFunc("/sandboxed", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pdf")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox")
		_, _ = io.WriteString(w, redPage)
	})
	for name, address := range map[string]string{
		"by the headers of a link":            a.link("a.pdf", &blobstore.LinkOptions{Inline: true}),
		"in the sandbox of all other content": a.origin + "/sandboxed",
	} {
		require.NoError(t, chromedp.Do(tab, chromedp.Navigate("about:blank")))
		n, err := red(tab)
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, chromedp.Do(tab, chromedp.Navigate(address)))
		require.Eventually(t, func() bool {
			n, err := red(tab)
			return err == nil && n > 10_000
		}, startTimeout, 100*time.Millisecond, name)
	}
	assert.Equal(t, "a.pdf", filepath.Base(saves(t, chrome.Tab(t), a.link("a.pdf", nil))), "saved, unless the link asks for showing")
}
