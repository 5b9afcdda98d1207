package main

// This file tests the page in a browser: signing in, dropping a file, progress,
// direct uploads, links, the trail, both themes, and accessibility with
// axe-core.

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	shots    = flag.String("shots", "", "folder for screenshots of the page")
	bigBytes = flag.Int64("big", 200<<20, "bytes of the large upload")
)

// browser opens a page of the service, or skips the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		left(t, "needs the Debian package chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1100, 900), chromedp.WSURLReadTimeout(2*time.Minute),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Env("HOME="+t.TempDir()))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	return ctx
}

// left skips a test without its dependency, or fails it if all tests are
// required.
func left(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("BLOBTRAIL_REQUIRE_SERVERS") == "all" {
		t.Fatal(why)
	}
	t.Skip("left out: " + why)
}

type step = chromedp.Action[chromedp.Void]

func drive(t *testing.T, ctx context.Context, steps ...step) {
	t.Helper()
	require.NoError(t, chromedp.Do(ctx, steps...))
}

// of returns the result of an action.
func of[T any](t *testing.T, ctx context.Context, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, a)
	require.NoError(t, err)
	return v
}

// eval evaluates an expression, or awaits its promise.
func eval[T any](js string) chromedp.Action[T] {
	return chromedp.Evaluate[T](js, func(p *runtime.EvaluateParams) { await := true; p.AwaitPromise = &await })
}

// until waits for a condition of the current or the next page.
func until(t *testing.T, ctx context.Context, js string) {
	t.Helper()
	require.Eventually(t, func() bool {
		ok, err := chromedp.Run(ctx, eval[bool]("Boolean("+js+")"))
		return err == nil && ok // an error occurs between two pages
	}, time.Minute, 50*time.Millisecond, js)
}

func signIn(t *testing.T, ctx context.Context, url string) {
	t.Helper()
	drive(t, ctx, chromedp.Navigate(url+"/"), chromedp.WaitVisible(chromedp.CSS("#email")),
		chromedp.SendKeys(chromedp.CSS("#email"), demoEmail), chromedp.SendKeys(chromedp.CSS("#password"), demoPassword), chromedp.Submit(chromedp.CSS("#password")), chromedp.WaitVisible(chromedp.CSS("#upload")))
}

func fillIn(number string) step {
	return eval[chromedp.Void](fmt.Sprintf(`for (const [n, v] of [["number", %q], ["date", "2026-11-02"], ["total", "2403.80"]]) document.getElementById(n).value = v`, number))
}

// themes lists the themes for screenshots and checks.
func themes(t *testing.T, ctx context.Context, name string, check func(theme string)) {
	t.Helper()
	for _, theme := range []string{"light", "dark"} {
		drive(t, ctx, func(ctx context.Context, target *chromedp.Target) (v chromedp.Void, err error) {
			_, err = cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
			return v, err
		})
		if *shots != "" {
			png := of(t, ctx, chromedp.FullScreenshot(100))
			require.NoError(t, os.WriteFile(filepath.Join(*shots, name+"-"+theme+".png"), png, 0o600))
		}
		check(theme)
	}
}

func TestPage(t *testing.T) {
	ctx := browser(t)
	s := start(t, nil)
	require.NoError(t, s.demoUser(t.Context()))
	axe := axeSource(t)
	sound := func(name string) { themes(t, ctx, name, func(theme string) { noFault(t, ctx, axe, name+", "+theme) }) }

	drive(t, ctx, chromedp.Navigate(s.url+"/"), chromedp.WaitVisible(chromedp.CSS("#email")))
	drive(t, ctx, chromedp.SendKeys(chromedp.CSS("#email"), demoEmail), chromedp.SendKeys(chromedp.CSS("#password"), "wrong"), chromedp.Submit(chromedp.CSS("#password")), chromedp.WaitVisible(chromedp.CSS(`[role=alert]`)))
	sound("login")
	signIn(t, ctx, s.url)
	sound("empty")

	// Drop a file. The service reads the details from it.
	pdf, err := os.ReadFile(invoicePDF)
	require.NoError(t, err)
	drive(t, ctx, chromedp.Click(chromedp.CSS(`input[value=auto]`)), chromedp.WaitNotVisible(chromedp.CSS("#details")), eval[chromedp.Void](fmt.Sprintf(`(() => {
		const data = new DataTransfer(), drop = document.getElementById("drop");
		data.items.add(new File([%q], "dropped.pdf", {type: "application/pdf"}));
		for (const type of ["dragenter", "dragover", "drop"]) drop.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
	})()`, latin1Free(pdf))))
	until(t, ctx, `document.getElementById("chosen").textContent.startsWith("dropped.pdf, ")`)
	drive(t, ctx, chromedp.Click(chromedp.CSS("#upload button.main")))
	until(t, ctx, `document.querySelectorAll("tr[data-id]").length === 1 && document.body.innerText.includes("2026-0042")`)

	// Upload straight to the bucket, which is the service's own handler of
	// links here.
	file, err := filepath.Abs(invoicePDF)
	require.NoError(t, err)
	drive(t, ctx, chromedp.Click(chromedp.CSS(`input[value=direct]`)), fillIn("2026-0043"), chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{file}), chromedp.Click(chromedp.CSS("#upload button.main")))
	until(t, ctx, `document.querySelectorAll("tr[data-id]").length === 2`)

	// The page shows a refusal of the service. Nothing is stored.
	drive(t, ctx, fillIn("2026-0044"), chromedp.SetValue(chromedp.CSS("#total"), "12"), chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{mustWrite(t, "no.pdf", "just text")}), chromedp.Click(chromedp.CSS("#upload button.main")))
	until(t, ctx, `document.getElementById("said").classList.contains("bad")`)
	assert.Contains(t, of(t, ctx, chromedp.Text(chromedp.CSS("#said"))), "not allowed")
	sound("refused")
	assert.Equal(t, of(t, ctx, chromedp.Text(chromedp.CSS("#said"))), of(t, ctx, eval[string](`document.getElementById("spoken").textContent`)), "and read out")

	// If the bucket refuses the upload, it is aborted at once, not after
	// expiry.
	drive(t, ctx, chromedp.Click(chromedp.CSS(`input[value=direct]`)), chromedp.Click(chromedp.CSS("#upload button.main")))
	until(t, ctx, `document.getElementById("said").classList.contains("bad")`)
	require.Eventually(t, func() bool { n, err := s.journal.OpenIntents(t.Context()); return err == nil && n == 0 }, time.Minute, 20*time.Millisecond)
	drive(t, ctx, chromedp.Navigate(s.url+"/"), chromedp.WaitVisible(chromedp.CSS("tr[data-id]")))
	sound("list")

	drive(t, ctx, chromedp.Click(chromedp.CSS("tr[data-id] .link")), chromedp.WaitVisible(chromedp.CSS("#linked-url")))
	link := of(t, ctx, chromedp.Value(chromedp.CSS("#linked-url")))
	sound("link")
	drive(t, ctx, eval[chromedp.Void](`Object.defineProperty(navigator, "clipboard", {value: undefined})`), chromedp.Click(chromedp.CSS("#copy")))
	until(t, ctx, `document.getElementById("copied").textContent.includes("Ctrl+C")`) // like a page without HTTPS
	assert.Equal(t, string(pdf), do(t, "GET", link, nil).body)

	// Show the trail of the invoice with a link.
	drive(t, ctx, chromedp.Navigate(s.url+"/"), chromedp.WaitVisible(chromedp.CSS("tr[data-id]")), chromedp.Click(chromedp.CSS("tr[data-id] th a")), chromedp.WaitVisible(chromedp.CSS(".line")))
	until(t, ctx, `document.querySelector(".verdict").classList.contains("pending")`)
	sound("trail-pending")
	drive(t, ctx, chromedp.Click(chromedp.CSS(".verdict button")))
	until(t, ctx, `document.querySelector(".verdict")?.classList.contains("verified")`)
	entries := of(t, ctx, chromedp.Text(chromedp.CSS(".line")))
	for _, want := range []string{"Stored", "Link issued", "Link used", demoEmail, "user of a link", "127.0.0.1"} {
		assert.Contains(t, entries, want)
	}
	sound("trail")

	// Check small windows.
	drive(t, ctx, chromedp.EmulateViewport(375, 740))
	sound("trail-small")
	drive(t, ctx, chromedp.Navigate(s.url+"/"), chromedp.WaitVisible(chromedp.CSS("tr[data-id]")))
	assert.False(t, of(t, ctx, eval[bool](`document.documentElement.scrollWidth > document.documentElement.clientWidth`)), "the page does not scroll sideways")
	sound("list-small")

	drive(t, ctx, chromedp.EmulateViewport(1100, 900), chromedp.Click(chromedp.CSS("tr[data-id] .remove")), chromedp.WaitVisible(chromedp.CSS("#sure")))
	sound("delete")
	assert.Equal(t, "no", of(t, ctx, eval[string](`document.activeElement.value`)), "Enter keeps it")
	drive(t, ctx, chromedp.Click(chromedp.CSS(`#sure button[value=yes]`)))
	until(t, ctx, `document.querySelectorAll("tr[data-id]").length === 1`)
	drive(t, ctx, chromedp.Click(chromedp.CSS(".who button")), chromedp.WaitVisible(chromedp.CSS("#email")))
}

// If a detail of a PDF is uncertain, the page fills in the others, and the user
// completes the form.
func TestPageAsksForUnclearDetails(t *testing.T) {
	ctx := browser(t)
	s := start(t, nil)
	require.NoError(t, s.demoUser(t.Context()))
	signIn(t, ctx, s.url)
	file, err := filepath.Abs("internal/readpdf/testdata/date-ambiguous.pdf")
	require.NoError(t, err)
	drive(t, ctx, chromedp.Click(chromedp.CSS(`input[value=auto]`)), chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{file}), chromedp.Click(chromedp.CSS("#upload button.main")), chromedp.WaitVisible(chromedp.CSS("#details")))
	until(t, ctx, `document.getElementById("said").classList.contains("bad")`)
	assert.Contains(t, of(t, ctx, chromedp.Text(chromedp.CSS("#said"))), "Date: the value is unclear")
	assert.Equal(t, "INV-100||10.00|EUR|date", of(t, ctx, eval[string](`["number", "date", "total", "currency"].map((id) => document.getElementById(id).value).concat(document.activeElement.id).join("|")`)))
	assert.Empty(t, s.files())
	drive(t, ctx, eval[chromedp.Void](`document.getElementById("date").value = "2026-11-03"`), chromedp.Click(chromedp.CSS("#upload button.main")))
	until(t, ctx, `document.querySelectorAll("tr[data-id]").length === 1 && document.body.innerText.includes("INV-100")`)
	assert.Len(t, s.files(), 1)
}

// After the whole file was sent, it may be stored. The page then no longer
// offers to cancel, because it cannot promise that nothing was stored.
func TestPageCancelsNothingThatMayBeStored(t *testing.T) {
	ctx := browser(t)
	s := start(t, nil)
	require.NoError(t, s.demoUser(t.Context()))
	signIn(t, ctx, s.url)
	file, err := filepath.Abs(invoicePDF)
	require.NoError(t, err)
	for _, c := range []struct{ way, last string }{{"form", "/invoice/upload_file"}, {"direct", "/invoice/direct/complete"}} {
		t.Run(c.way, func(t *testing.T) {
			drive(t, ctx, chromedp.Click(chromedp.CSS(`input[value=`+c.way+`]`)), fillIn("1"), chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{file}), eval[chromedp.Void](fmt.Sprintf(`(() => {
				const open = XMLHttpRequest.prototype.open;
				XMLHttpRequest.prototype.open = function (method, url) {
					open.apply(this, arguments);
					Object.defineProperty(this, "onload", {set(f) { this.addEventListener("load", () => url === %q ? window.answered = true : f()); }});
				};
			})()`, c.last)), chromedp.Click(chromedp.CSS("#upload button.main")))
			until(t, ctx, `window.answered === true`)
			assert.Len(t, s.files(), 1)
			assert.True(t, of(t, ctx, eval[bool](`document.getElementById("cancel").disabled`)))
			drive(t, ctx, chromedp.Navigate(s.url+"/"), chromedp.WaitVisible(chromedp.CSS("tr[data-id] .remove")), chromedp.Click(chromedp.CSS("tr[data-id] .remove")), chromedp.WaitVisible(chromedp.CSS("#sure")), chromedp.Click(chromedp.CSS("#sure button[value=yes]")))
			until(t, ctx, `document.querySelectorAll("tr[data-id]").length === 0`)
		})
	}
}

// The page shows the progress of a large upload, through the service and
// straight to the bucket.
func TestPageShowsProgress(t *testing.T) {
	ctx := browser(t)
	s := start(t, nil)
	require.NoError(t, s.demoUser(t.Context()))
	signIn(t, ctx, s.url)
	big := filepath.Join(t.TempDir(), "large scan.pdf")
	f, err := os.Create(big)
	require.NoError(t, err)
	_, err = f.WriteString("%PDF-1.7\n")
	require.NoError(t, err)
	require.NoError(t, f.Truncate(*bigBytes))
	require.NoError(t, f.Close())
	// Limit the bandwidth, so that the upload takes seconds on every machine.
	drive(t, ctx, func(ctx context.Context, target *chromedp.Target) (v chromedp.Void, err error) {
		_, err = cdp.Call(ctx, target, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{{DownloadThroughput: -1, UploadThroughput: float64(*bigBytes) / 5}},
		})
		return v, err
	})
	for n, way := range []string{"form", "direct"} {
		t.Run(way, func(t *testing.T) {
			began := time.Now()
			drive(t, ctx, chromedp.Click(chromedp.CSS(`input[value=`+way+`]`)), fillIn("LARGE-"+way), chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{big}), eval[chromedp.Void](`(() => {
				window.seen = [];
				const all = {childList: true, characterData: true, subtree: true};
				new MutationObserver(() => window.seen.push([bar.value, said.textContent])).observe(said, all);
				let spoken = 0;
				new MutationObserver(() => spoken++).observe(document.querySelector("#upload [role=status]"), all);
				window.addEventListener("pagehide", () => { sessionStorage.setItem("seen", JSON.stringify(window.seen)); sessionStorage.setItem("spoken", spoken); });
			})()`), chromedp.Click(chromedp.CSS("#upload button.main")))
			if *shots != "" {
				until(t, ctx, `bar.value > 20`)
				themes(t, ctx, "progress-"+way, func(string) {})
			}
			until(t, ctx, fmt.Sprintf(`document.querySelectorAll("tr[data-id]").length === %d`, n+1))
			seen := of(t, ctx, eval[string](`sessionStorage.getItem("seen")`))
			var size int64
			require.NoError(t, s.db.Get(&size, s.db.Rebind("SELECT size FROM invoices WHERE number = ?"), "LARGE-"+way))
			assert.Equal(t, *bigBytes, size)
			shown := strings.Count(seen, " % of ") + strings.Count(seen, " %, ")
			assert.Greater(t, shown, 3, "progress was shown: %s", seen)
			spoken := of(t, ctx, eval[float64](`Number(sessionStorage.getItem("spoken"))`))
			assert.LessOrEqual(t, spoken, 8., "a screen reader is told of each quarter, not of each step")
			t.Logf("%d MiB in %v; the progress was shown %d times", *bigBytes>>20, time.Since(began).Round(time.Millisecond), shown)
		})
	}
}

func mustWrite(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// latin1Free returns a PDF as text for JavaScript. Only its comment has
// non-ASCII bytes, and nothing depends on them.
func latin1Free(pdf []byte) string {
	return strings.Map(func(r rune) rune {
		if r > 127 {
			return 'x'
		}
		return r
	}, string(pdf))
}

// axeSource returns the source of axe-core, in a pinned version from the
// registry.
func axeSource(t *testing.T) string {
	t.Helper()
	const path = "testdata/axe/node_modules/axe-core/axe.min.js"
	if _, err := os.Stat(path); err != nil {
		if _, err := exec.LookPath("npm"); err != nil {
			left(t, "needs npm for axe-core")
		}
		cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir = "testdata/axe"
		if out, err := cmd.CombinedOutput(); err != nil {
			left(t, fmt.Sprintf("npm ci of axe-core: %v: %s", err, out))
		}
	}
	source, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(source)
}

// noFault fails if axe-core finds a violation of any impact.
func noFault(t *testing.T, ctx context.Context, axe, where string) {
	t.Helper()
	drive(t, ctx, eval[chromedp.Void](axe+"\n;0"))
	faults := of(t, ctx, eval[[]string](`axe.run().then((r) => r.violations.map((v) => v.impact + " " + v.id + ": " + v.nodes.map((n) => n.target.join(" ") + " " + (n.failureSummary || "")).join("; ")))`))
	assert.Empty(t, faults, where)
}
