package integration

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/chromedp/chromedp"
)

// Browser is a running headless Chromium.
type Browser struct{ ctx context.Context }

var chromium once[Browser]

// Chromium returns the running browser, or skips the test.
func Chromium(t testing.TB) *Browser {
	t.Helper()
	return chromium.get(t, "chromium", func() (*Browser, func(), error) {
		bin, err := exec.LookPath("chromium")
		if errors.Is(err, exec.ErrNotFound) {
			return nil, nil, &missingError{"chromium"}
		}
		if err != nil {
			return nil, nil, err
		}
		dir, err := os.MkdirTemp("", "blobtrail-chromium-")
		if err != nil {
			return nil, nil, err
		}
		alloc, stop := chromedp.NewExecAllocator(context.Background(),
			chromedp.ExecPath(bin), chromedp.UserDataDir(dir), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Flag("disable-quic", true),
			chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
			chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("no-proxy-server", true),
			chromedp.WSURLReadTimeout(startTimeout),
		)
		ctx, cancel := chromedp.NewContext(alloc)
		end := func() {
			cancel() // waits until the browser has closed
			stop()
			_ = os.RemoveAll(dir)
		}
		return &Browser{ctx}, end, chromedp.Do(ctx)
	})
}

// Tab opens a tab in a new profile. It is closed when the test ends.
func (b *Browser) Tab(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	ctx, done := context.WithTimeout(ctx, 4*startTimeout)
	t.Cleanup(done)
	return ctx
}
