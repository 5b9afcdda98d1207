package transfer_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/blobstore/transfer"
)

type side struct {
	*blobstore.Store
	memory *audit.Memory
	trail  *audittest.Faults
	dir    string // of local files
}

func ctxOf(t *testing.T) context.Context {
	return audit.WithActor(t.Context(), audit.Actor{UserID: "mover"})
}

func inMemory(t *testing.T) *side {
	s := &side{memory: &audit.Memory{}}
	s.trail = audittest.NewFaults(s.memory)
	var err error
	s.Store, err = blobstore.New(memstore.New(), s.trail, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

func local(t *testing.T) *side {
	s := &side{memory: &audit.Memory{}, dir: t.TempDir()}
	s.trail = audittest.NewFaults(s.memory)
	var err error
	s.Store, err = blobstore.Open(t.Context(), "local://"+filepath.ToSlash(s.dir), s.trail, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

func (s *side) put(t *testing.T, key, content string, opts *blobstore.UploadOptions) {
	t.Helper()
	_, err := s.Upload(ctxOf(t), key, strings.NewReader(content), opts)
	require.NoError(t, err)
}

func (s *side) get(t *testing.T, key string) string {
	t.Helper()
	r, err := s.Download(ctxOf(t), key, &blobstore.DownloadOptions{Verify: true})
	require.NoError(t, err)
	content, err := io.ReadAll(r)
	require.NoError(t, errors.Join(err, r.Close()))
	return string(content)
}

func (s *side) keys(t *testing.T) (keys []string) {
	t.Helper()
	for obj, err := range s.List(ctxOf(t), nil) {
		require.NoError(t, err)
		keys = append(keys, obj.Key)
	}
	return keys
}

func (s *side) entries(t *testing.T, action audit.Action) (all []audit.Entry) {
	t.Helper()
	for e, err := range s.memory.Entries(t.Context(), audit.Query{Actions: []audit.Action{action}}) {
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

func (s *side) fill(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		s.put(t, fmt.Sprintf("invoices/%02d.txt", i), strings.Repeat("x", i), &blobstore.UploadOptions{
			Filename: "März.txt", ContentType: "text/x-invoice", CacheControl: "max-age=1", Metadata: map[string]string{"n": fmt.Sprint(i)},
		})
	}
}

func TestCopyTakesEverythingOnce(t *testing.T) {
	src, dst := local(t), inMemory(t)
	src.fill(t, 30)
	var progress atomic.Int64
	opts := &transfer.Options{
		Resource: func(o *blobstore.Object) audit.Resource { return audit.Resource{Type: "invoice", ID: o.Metadata["n"]} },
		Progress: func(n int64) { progress.Add(n) }, Reread: true,
	}
	n, size, err := transfer.Count(ctxOf(t), src.Store, opts)
	require.NoError(t, err)
	assert.Equal(t, 30, n)
	report, err := transfer.Copy(ctxOf(t), dst.Store, src.Store, opts)
	require.NoError(t, err)
	assert.Equal(t, 30, report.Copied)
	assert.Equal(t, size, report.Bytes)
	assert.Equal(t, size, progress.Load())
	assert.Equal(t, src.keys(t), dst.keys(t))

	want, err := src.Stat(ctxOf(t), "invoices/07.txt")
	require.NoError(t, err)
	got, err := dst.Stat(ctxOf(t), "invoices/07.txt")
	require.NoError(t, err)
	assert.Equal(t, "xxxxxxx", dst.get(t, "invoices/07.txt"))
	for _, o := range []*blobstore.Object{want, got} {
		o.ETag, o.OpID, o.ModTime = "", "", got.ModTime
	}
	assert.Equal(t, want, got)

	uploads := dst.entries(t, audit.ActionUpload)
	require.Len(t, uploads, 30)
	for _, e := range uploads {
		assert.Equal(t, "mover", e.Actor.UserID)
		assert.Equal(t, "local:"+e.Key, e.Attrs[transfer.AttrSource])
		assert.Equal(t, "invoice", e.Resource.Type)
	}
	assert.GreaterOrEqual(t, len(src.entries(t, audit.ActionDownload)), 30)

	// Again: nothing is left to do.
	report, err = transfer.Copy(ctxOf(t), dst.Store, src.Store, opts)
	require.NoError(t, err)
	assert.Equal(t, 30, report.Present)
	assert.Zero(t, report.Copied)
	assert.Len(t, dst.entries(t, audit.ActionUpload), 30)
}

func TestCopyGoesOnWhereItEnded(t *testing.T) {
	src, dst := inMemory(t), local(t)
	src.fill(t, 40)
	ctx, cancel := context.WithCancel(ctxOf(t))
	done := 0
	report, err := transfer.Copy(ctx, dst.Store, src.Store, &transfer.Options{Each: func(transfer.Result) {
		if done++; done == 10 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, report)
	first := len(dst.keys(t))
	assert.GreaterOrEqual(t, first, 10)
	assert.Less(t, first, 40)

	report, err = transfer.Copy(ctxOf(t), dst.Store, src.Store, nil)
	require.NoError(t, err)
	assert.Equal(t, first, report.Present)
	assert.Equal(t, 40-first, report.Copied)
	assert.Equal(t, src.keys(t), dst.keys(t))
}

func TestCopyOfFilesOfOtherPrograms(t *testing.T) {
	src, dst := local(t), inMemory(t)
	require.NoError(t, os.MkdirAll(filepath.Join(src.dir, "2024", "May"), 0o755))
	pdf := "%PDF-1.7\n% a scan"
	require.NoError(t, os.WriteFile(filepath.Join(src.dir, "2024", "May", "Scan 1.pdf"), []byte(pdf), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(src.dir, "notes.tmp"), []byte("x"), 0o644))
	report, err := transfer.Copy(ctxOf(t), dst.Store, src.Store, &transfer.Options{Key: func(k string) (string, bool) {
		return "scans/" + strings.ToLower(k), !strings.HasSuffix(k, ".tmp")
	}})
	require.NoError(t, err)
	assert.Equal(t, 1, report.Copied)
	assert.Equal(t, 1, report.Skipped)
	obj, err := dst.Stat(ctxOf(t), "scans/2024/may/scan 1.pdf")
	require.NoError(t, err)
	sum := sha256.Sum256([]byte(pdf))
	assert.Equal(t, sum[:], obj.SHA256)
	assert.Equal(t, "application/pdf", obj.ContentType, "nobody gave it one")
}

func TestACorruptedSourceIsReportedAndNotCopied(t *testing.T) {
	src, dst := local(t), inMemory(t)
	src.fill(t, 5)
	file := filepath.Join(src.dir, "invoices", "03.txt")
	fi, err := os.Stat(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("xyx"), 0o600))
	require.NoError(t, os.Chtimes(file, fi.ModTime(), fi.ModTime())) // as rot would
	report, err := transfer.Copy(ctxOf(t), dst.Store, src.Store, nil)
	require.ErrorIs(t, err, transfer.ErrIncomplete)
	require.ErrorIs(t, err, blobstore.ErrChecksum)
	assert.Equal(t, 4, report.Copied)
	require.Len(t, report.Failures, 1)
	assert.Equal(t, "invoices/03.txt", report.Failures[0].Source)
	require.ErrorIs(t, report.Failures[0].Err, blobstore.ErrChecksum)
	assert.NotContains(t, dst.keys(t), "invoices/03.txt")
}

func TestWhatDiffersIsReplacedOnlyIfAsked(t *testing.T) {
	src, dst := inMemory(t), inMemory(t)
	src.put(t, "a", "new", nil)
	src.put(t, "b", "longer", nil)
	dst.put(t, "a", "old", nil)
	dst.put(t, "b", "old", nil)
	report, err := transfer.Copy(ctxOf(t), dst.Store, src.Store, nil)
	require.ErrorIs(t, err, transfer.ErrIncomplete)
	require.ErrorIs(t, err, transfer.ErrDiffers)
	require.ErrorIs(t, err, fs.ErrExist)
	assert.Equal(t, 2, report.Failed)
	assert.Equal(t, "old", dst.get(t, "a"))

	report, err = transfer.Copy(ctxOf(t), dst.Store, src.Store, &transfer.Options{Overwrite: true, DryRun: true})
	require.NoError(t, err)
	assert.Equal(t, 2, report.Copied)
	assert.Equal(t, "old", dst.get(t, "a"), "it is a dry run")

	_, err = transfer.Copy(ctxOf(t), dst.Store, src.Store, &transfer.Options{Overwrite: true})
	require.NoError(t, err)
	assert.Equal(t, "new", dst.get(t, "a"))
	assert.Equal(t, "longer", dst.get(t, "b"))
}

func TestCopyEndsIfTheTrailCantBeWritten(t *testing.T) {
	src, dst := inMemory(t), inMemory(t)
	src.fill(t, 30)
	down := errors.New("the database is down")
	dst.trail.Add(audittest.Fault{Call: audittest.CallBegin, Nth: 5, Err: down})
	// One at a time: another one might copy all the rest before the first learns
	// of its error.
	report, err := transfer.Copy(ctxOf(t), dst.Store, src.Store, &transfer.Options{Parallel: 1})
	require.ErrorIs(t, err, down)
	require.ErrorIs(t, err, blobstore.ErrAudit)
	require.NotErrorIs(t, err, transfer.ErrIncomplete)
	assert.Equal(t, 4, report.Copied)
	assert.Equal(t, 5, dst.trail.Calls(audittest.CallBegin))
}

func TestTheRateIsLimited(t *testing.T) {
	src, dst := inMemory(t), inMemory(t)
	src.put(t, "a", strings.Repeat("x", 200<<10), nil)
	report, err := transfer.Copy(ctxOf(t), dst.Store, src.Store, &transfer.Options{BytesPerSecond: 1 << 20})
	require.NoError(t, err)
	// A burst of 64 KiB is free.
	assert.Greater(t, report.Elapsed.Seconds(), 0.1)
}

// Every file of the source is copied, or the report names it.
func TestCopyReportsWhatIsNoObject(t *testing.T) {
	ctx := ctxOf(t)
	src, dst := local(t), inMemory(t)
	for _, key := range []string{"a", "d/b"} {
		_, err := src.Upload(ctx, key, strings.NewReader(key), nil)
		require.NoError(t, err)
	}
	file := func(name string) {
		require.NoError(t, os.WriteFile(filepath.Join(src.dir, name), []byte("x"), 0o600))
	}
	file("Rechnung M\xe4rz.pdf") // Latin-1
	file("d/gr\xfc\xdfe")
	file("report.attrs")
	file("dot.")
	require.NoError(t, os.Mkdir(filepath.Join(src.dir, "ordner \xfc"), 0o700))
	file("ordner \xfc/inside")
	require.NoError(t, os.Symlink("a", filepath.Join(src.dir, "link to a file")))
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(src.dir, "d", "link to a folder")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(src.dir, "dangling")))
	pipes := special(t, src.dir)

	skipped := []string{
		"Rechnung M\xe4rz.pdf", "d/gr\xfc\xdfe", "report.attrs", "ordner \xfc", "link to a file", "d/link to a folder", "dangling",
	}
	skipped = append(skipped, pipes...)
	for _, dry := range []bool{true, false} {
		each := map[string]transfer.Status{}
		report, err := transfer.Copy(ctx, dst.Store, src.Store, &transfer.Options{DryRun: dry, Each: func(r transfer.Result) {
			each[r.Source] = r.Status
			assert.Equal(t, r.Status == transfer.Unreachable || r.Status == transfer.Failed, r.Err != nil, r.Source)
		}})
		require.ErrorIs(t, err, transfer.ErrIncomplete)
		require.Equal(t, 2, report.Copied)
		require.Equal(t, 1, report.Failed, "dot. is listed, but has no key")
		require.Equal(t, len(skipped), report.Unreachable)
		require.Len(t, report.Failures, len(skipped)+1)
		for _, name := range skipped {
			require.Equal(t, transfer.Unreachable, each[name], "%q", name)
		}
		require.Equal(t, transfer.Failed, each["dot."])
	}
	report, err := transfer.Copy(ctx, dst.Store, src.Store, &transfer.Options{Prefix: "d/"})
	require.ErrorIs(t, err, transfer.ErrIncomplete)
	require.Equal(t, 2, report.Unreachable, "below the prefix")
	report, err = transfer.Copy(ctx, dst.Store, src.Store, &transfer.Options{Key: func(source string) (string, bool) {
		return source, source == "a" || source == "d/b"
	}})
	require.NoError(t, err, "what Key leaves out is not missed")
	require.Zero(t, report.Unreachable)
	require.Equal(t, 2, report.Present)
}

func TestCopyKeepsTheEncoding(t *testing.T) {
	ctx := ctxOf(t)
	src, dst := local(t), inMemory(t)
	_, err := src.Upload(ctx, "a", strings.NewReader("\x1f\x8b packed"), &blobstore.UploadOptions{ContentType: "text/html", ContentEncoding: "gzip"})
	require.NoError(t, err)
	_, err = transfer.Copy(ctx, dst.Store, src.Store, nil)
	require.NoError(t, err)
	obj, err := dst.Stat(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "gzip", obj.ContentEncoding)
	require.Equal(t, "text/html", obj.ContentType)
	// One that lost its encoding is not the same.
	_, err = dst.Upload(ctx, "a", strings.NewReader("\x1f\x8b packed"), &blobstore.UploadOptions{ContentType: "text/html", Overwrite: true})
	require.NoError(t, err)
	_, err = transfer.Copy(ctx, dst.Store, src.Store, nil)
	require.ErrorIs(t, err, transfer.ErrDiffers)
}

func TestCopyEndsWhereTheBucketIsMissing(t *testing.T) {
	ctx := ctxOf(t)
	src, dst := local(t), local(t)
	_, err := src.Upload(ctx, "a", strings.NewReader("a"), nil)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dst.dir))
	_, err = transfer.Copy(ctx, dst.Store, src.Store, nil)
	require.ErrorIs(t, err, blobstore.ErrNoBucket)
	require.NotErrorIs(t, err, transfer.ErrIncomplete)
	require.NoError(t, os.RemoveAll(src.dir))
	_, err = transfer.Copy(ctx, dst.Store, src.Store, nil)
	require.ErrorIs(t, err, blobstore.ErrNoBucket)
}
