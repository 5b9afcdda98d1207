// This file runs the conformance suite of the Go CDK with all options that
// affect writing.

package localblob

import (
	"context"
	"net/http"
	"testing"

	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"
)

type harness struct {
	dir  string
	opts Options
}

func (h *harness) MakeDriver(context.Context) (driver.Bucket, error) { return open(h.dir, &h.opts) }
func (h *harness) MakeDriverForNonexistentBucket(context.Context) (driver.Bucket, error) {
	return nil, nil
}
func (h *harness) HTTPClient() *http.Client         { return nil }
func (h *harness) SupportsCopy() bool               { return true }
func (h *harness) SupportsNonSlashDelimiters() bool { return true }
func (h *harness) Close()                           {}

func TestConformance(t *testing.T) {
	for name, opts := range map[string]Options{
		"default": {},
		"md5":     {MD5: true},
		"noSync":  {noSync: true},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.RunConformanceTests(t, func(_ context.Context, t *testing.T) (drivertest.Harness, error) {
				return &harness{dir: t.TempDir(), opts: opts}, nil
			}, nil)
		})
	}
}

func TestConformancePrefixed(t *testing.T) {
	dir := t.TempDir()
	drivertest.RunConformanceTests(t, func(_ context.Context, t *testing.T) (drivertest.Harness, error) {
		return &prefixed{harness{dir: dir}}, nil
	}, nil)
}

type prefixed struct{ harness }

func (h *prefixed) MakeDriver(context.Context) (driver.Bucket, error) {
	b, err := open(h.dir, &h.opts)
	if err != nil {
		return nil, err
	}
	return driver.NewPrefixedBucket(b, "some/prefix/"), nil
}

func BenchmarkConformance(b *testing.B) {
	bkt, err := openBlob(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer bkt.Close()
	drivertest.RunBenchmarks(b, bkt)
}
