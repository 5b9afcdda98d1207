// This file compares the driver with the simplest equivalent code. Both sides
// run interleaved.

package localblob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
)

// ratio times ours and theirs in turn, b.N times, and reports both medians and their quotient.
func ratio(b *testing.B, ours, theirs func()) {
	ours()
	theirs()
	var o, t []time.Duration
	for b.Loop() {
		start := time.Now()
		theirs()
		mid := time.Now()
		ours()
		t, o = append(t, mid.Sub(start)), append(o, time.Since(mid))
	}
	slices.Sort(o)
	slices.Sort(t)
	mo, mt := o[len(o)/2], t[len(t)/2]
	b.ReportMetric(float64(mo.Microseconds()), "ours-µs")
	b.ReportMetric(float64(mt.Microseconds()), "theirs-µs")
	b.ReportMetric(float64(mo)/float64(mt), "ratio")
	b.ReportMetric(0, "ns/op")
}

// fill writes n small objects below dir, perDir to a folder, with or without sidecars.
func fill(tb testing.TB, dir string, n, perDir int, sidecars bool) {
	for i := range n {
		sub := filepath.Join(dir, "tenant", fmt.Sprintf("%05d", i/perDir))
		if i%perDir == 0 {
			require.NoError(tb, os.MkdirAll(sub, 0o700))
		}
		file := filepath.Join(sub, fmt.Sprintf("%08d_report.pdf", i))
		require.NoError(tb, os.WriteFile(file, []byte("x"), 0o600))
		if sidecars {
			require.NoError(tb, os.WriteFile(file+attrsExt, []byte(`{"user.content_type":"application/pdf"}`), 0o600))
		}
	}
}

func countObjects(tb testing.TB, bkt *blob.Bucket) (n int) {
	it := bkt.List(nil)
	for {
		_, err := it.Next(context.Background())
		if err == io.EOF {
			return n
		}
		require.NoError(tb, err)
		n++
	}
}

func walkDir(tb testing.TB, dir string) {
	require.NoError(tb, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_, err = d.Info()
		}
		return err
	}))
}

// BenchmarkList lists everything through blob.Bucket.List, against filepath.WalkDir with Info.
func BenchmarkList(b *testing.B) {
	for _, c := range []struct {
		n, perDir int
		sidecars  bool
	}{
		{1_000, 100, false}, {10_000, 100, false}, {100_000, 100, false}, {100_000, 100, true},
		{10_000, 1_000_000, false}, {100_000, 1_000_000, false}, {100_000, 1_000_000, true},
	} {
		name := fmt.Sprintf("objects=%d/perDir=%d/sidecars=%v", c.n, min(c.n, c.perDir), c.sidecars)
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			fill(b, dir, c.n, c.perDir, c.sidecars)
			bkt, err := openBlob(dir, nil)
			require.NoError(b, err)
			defer bkt.Close()
			ratio(b, func() { require.Equal(b, c.n, countObjects(b, bkt)) }, func() { walkDir(b, dir) })
		})
	}
}

// BenchmarkUpload compares durable uploads with write, fsync, rename and fsync
// of the folder. One comparison writes only the data, which is the target. The
// other also writes the attributes, which is the minimum for two files.
func BenchmarkUpload(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 20} {
		for _, against := range []string{"one file", "two files"} {
			b.Run(fmt.Sprintf("bytes=%d/against=%s", size, against), func(b *testing.B) {
				dir := b.TempDir()
				for _, sub := range []string{"tmp", "raw"} {
					require.NoError(b, os.Mkdir(filepath.Join(dir, sub), 0o700))
				}
				bkt, err := openBlob(dir, nil)
				require.NoError(b, err)
				defer bkt.Close()
				content := bytes.Repeat([]byte("0123456789abcdef"), size/16)
				opts := &blob.WriterOptions{ContentType: "application/pdf", IfNotExist: true}
				i := 0
				ratio(b, func() {
					i++
					key := fmt.Sprintf("docs/%d.pdf", i)
					require.NoError(b, bkt.Upload(context.Background(), key, bytes.NewReader(content), opts))
					if size > 1<<20 {
						require.NoError(b, os.Remove(filepath.Join(dir, key)))
					}
				}, func() {
					i++
					name := fmt.Sprintf("%d.pdf", i)
					var attrs []byte
					if against == "two files" {
						attrs = content[:200]
					}
					require.NoError(b, rawUpload(dir, name, bytes.NewReader(content), attrs))
					if size > 1<<20 {
						require.NoError(b, os.Remove(filepath.Join(dir, "raw", name)))
					}
				})
			})
		}
	}
}

func rawUpload(dir, name string, r io.Reader, attrs []byte) error {
	from, to := filepath.Join(dir, "tmp", name), filepath.Join(dir, "raw", name)
	f, err := os.Create(from)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{r}, make([]byte, copyBuffer)); err != nil {
		return err
	}
	if attrs == nil {
		err = f.Sync()
	} else {
		var g *os.File
		if g, err = os.Create(from + attrsExt); err != nil {
			return err
		}
		defer g.Close()
		if _, err := g.Write(attrs); err != nil {
			return err
		}
		first := make(chan error, 1)
		go func() { first <- f.Sync() }()
		if err = errors.Join(g.Sync(), <-first); err == nil {
			err = os.Rename(from+attrsExt, to+attrsExt)
		}
	}
	if err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Join(dir, "raw"))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// BenchmarkUploadCallers compares concurrent uploads of 1 KiB with the same
// code for one file each.
func BenchmarkUploadCallers(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		content := bytes.Repeat([]byte("x"), 1<<10)
		for _, side := range []string{"ours", "raw"} {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, side), func(b *testing.B) {
				dir := b.TempDir()
				for _, sub := range []string{"tmp", "raw"} {
					require.NoError(b, os.Mkdir(filepath.Join(dir, sub), 0o700))
				}
				bkt, err := openBlob(dir, nil)
				require.NoError(b, err)
				defer bkt.Close()
				opts := &blob.WriterOptions{ContentType: "application/pdf", IfNotExist: true}
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range callers {
					wg.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							name := fmt.Sprintf("%d.pdf", i)
							var err error
							if side == "ours" {
								err = bkt.Upload(context.Background(), "docs/"+name, bytes.NewReader(content), opts)
							} else {
								err = rawUpload(dir, name, bytes.NewReader(content), nil)
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "uploads/s")
			})
		}
	}
}
