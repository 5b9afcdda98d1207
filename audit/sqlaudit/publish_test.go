package sqlaudit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/internal/testlog"
	"github.com/blobtrail/blobtrail/secret"
)

// flaky is an in-memory bucket that rejects everything while it is down. It
// implements the driver methods that this package uses.
type flaky struct {
	driver.Bucket
	in     *blob.Bucket
	down   atomic.Bool
	answer error // the error while it is down
}

func openFlaky(t testing.TB) (*flaky, *blob.Bucket) {
	t.Helper()
	f := &flaky{in: memblob.OpenBucket(nil), answer: errDown}
	b := blob.NewBucket(f)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return f, b
}

var errDown = errors.New("the bucket is down")

func (f *flaky) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	if f.down.Load() {
		return nil, f.answer
	}
	w, err := f.in.NewWriter(ctx, key, &blob.WriterOptions{ContentType: contentType, IfNotExist: o.IfNotExist})
	return flakyWriter{w}, err
}

type flakyWriter struct{ *blob.Writer }

func (w flakyWriter) Upload(r io.Reader) error {
	_, err := io.Copy(w.Writer, r)
	return err
}

func (f *flaky) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	r, err := f.in.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return nil, err
	}
	return flakyReader{r}, nil
}

type flakyReader struct{ *blob.Reader }

func (r flakyReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.ContentType(), ModTime: r.ModTime(), Size: r.Size()}
}

func (f *flaky) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	page := new(driver.ListPage)
	for it := f.in.List(&blob.ListOptions{Prefix: o.Prefix}); ; {
		obj, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return page, nil
		}
		if err != nil {
			return nil, err
		}
		page.Objects = append(page.Objects, &driver.ListObject{Key: obj.Key, ModTime: obj.ModTime, Size: obj.Size})
	}
}

func (f *flaky) Close() error { return f.in.Close() }

func (*flaky) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }

func objects(t testing.TB, b *blob.Bucket) (keys []string) {
	t.Helper()
	for it := b.List(nil); ; {
		o, err := it.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return keys
		}
		require.NoError(t, err)
		keys = append(keys, o.Key)
	}
}

func TestPublishesByNumberAndByTime(t *testing.T) {
	for name, set := range map[string]func(*sqlaudit.Options){
		"by number": func(o *sqlaudit.Options) { o.Publish.Entries, o.Publish.Every = 5, time.Hour },
		"by time":   func(o *sqlaudit.Options) { o.Publish.Every = 5 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrail(t)
			j := tr.open(t, set)
			logMany(t, j, 5)
			wait(t, "a checkpoint in the bucket", func() bool { return len(objects(t, tr.bucket)) >= 2 })
			require.NoError(t, j.Close(context.Background()))
			keys := objects(t, tr.bucket)
			assert.Equal(t, fmt.Sprintf("checkpoints/%s/%020d", sqlaudit.WriterID(j), 5), keys[len(keys)-2])
			assert.Equal(t, "checkpoints/"+sqlaudit.WriterID(j)+"/certificate", keys[len(keys)-1])
			r := tr.verify(t)
			requireSound(t, r)
			assert.Zero(t, r.Unpublished())
		})
	}
}

func TestAFailingBucketDoesNotHoldUpTheTrail(t *testing.T) {
	tr := newTrail(t)
	f, bucket := openFlaky(t)
	var log testlog.Buffer
	f.down.Store(true)
	j := tr.open(t, func(o *sqlaudit.Options) {
		o.Publish = &sqlaudit.PublishOptions{To: sqlaudit.Checkpoints{Bucket: bucket}, Every: time.Millisecond}
		o.Logger = textLogger(&log)
	})
	logMany(t, j, 50)
	wait(t, "the failure is reported", func() bool { return strings.Contains(log.String(), "publishing checkpoints failed") })
	err := j.Close(context.Background())
	require.ErrorIs(t, err, errDown)
	assert.ErrorContains(t, err, "50 entries not covered by a published checkpoint")

	tr.bucket = bucket
	f.down.Store(false)
	j = tr.open(t)
	logMany(t, j, 5)
	require.NoError(t, j.Close(context.Background()))
	r := tr.verify(t)
	requireSound(t, r)
	assert.EqualValues(t, 50, r.Unpublished(), "what the first process could not publish")
}

func TestAfterPublish(t *testing.T) {
	tr := newTrail(t)
	f, bucket := openFlaky(t)
	tr.bucket = bucket
	j := tr.open(t, func(o *sqlaudit.Options) {
		o.Acknowledge, o.Publish.Every, o.Timeout = sqlaudit.AfterPublish, time.Hour, 3*time.Second
	})
	for i := range 3 {
		require.NoError(t, j.Log(t.Context(), event("k")))
		assert.Contains(t, objects(t, tr.bucket), fmt.Sprintf("checkpoints/%s/%020d", sqlaudit.WriterID(j), i+1), "published when it returns")
	}
	f.down.Store(true)
	require.Error(t, j.Log(t.Context(), event("k")))
	in, err := j.Begin(t.Context(), event("begun"), 0)
	require.NoError(t, err, "an intent changes no tree")
	f.down.Store(false)
	require.NoError(t, in.Settle(t.Context(), audit.Result{Outcome: audit.OutcomeOK}))
	require.NoError(t, j.Close(context.Background()))
	r := tr.verify(t)
	requireSound(t, r)
	assert.Zero(t, r.Unpublished())
	_, err = sqlaudit.Open(t.Context(), tr.dsn, &sqlaudit.Options{Acknowledge: sqlaudit.AfterPublish})
	require.ErrorContains(t, err, "Publish is nil")
}

func TestSecretsStayOut(t *testing.T) {
	signing, _, err := sqlaudit.GenerateDeploymentKey("example.com/x")
	require.NoError(t, err)
	seed := signing.Reveal()[len(signing.Reveal())-20:]
	secrettest.HoldsDeep(t, signing, seed, "PRIVATE+KEY")
	o := sqlaudit.Options{DeploymentKey: signing, Logger: quiet}
	secrettest.HoldsDeep(t, o, seed, "PRIVATE+KEY")
	j, err := sqlaudit.Open(t.Context(), "sqlite::memory:", &o)
	require.NoError(t, err)
	require.NoError(t, j.Log(t.Context(), audit.Event{Action: audit.ActionUpload}), "which registers a writer")
	require.NoError(t, j.Close(t.Context()), "since printing reads what it writes")
	secrettest.Holds(t, j, seed, "PRIVATE+KEY")
	secrettest.Holds(t, struct{ audit.Journal }{j}, seed, "PRIVATE+KEY")

	_, err = sqlaudit.Open(t.Context(), "sqlite::memory:", &sqlaudit.Options{DeploymentKey: secret.New(signing.Reveal() + "x")})
	require.ErrorContains(t, err, "DeploymentKey")
	assert.NotContains(t, err.Error(), seed)
	for _, name := range []string{"", "a b", "a+b", "blobtrail/x", strings.Repeat("x", 200)} {
		_, _, err := sqlaudit.GenerateDeploymentKey(name)
		require.Error(t, err, name)
	}
}
