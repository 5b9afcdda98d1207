package blobstore_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/all"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	_ "github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// countingBucket counts the opens, and can call a function between a lookup and
// an open.
type countingBucket struct {
	driver.Bucket
	reads  int
	open   int
	before func()
}

func (b *countingBucket) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	if b.before != nil {
		b.before()
	}
	b.reads++
	r, err := b.Bucket.Read(ctx, key, offset, length)
	if err == nil {
		b.open++
		r.ReadCloser = &countingCloser{r.ReadCloser, b}
	}
	return r, err
}

type countingCloser struct {
	io.ReadCloser
	b *countingBucket
}

func (c *countingCloser) Close() error {
	c.b.open--
	return c.ReadCloser.Close()
}

type partsEnv struct {
	ctx    context.Context
	log    audit.Memory
	bucket *countingBucket
	store  *blobstore.Store
}

func newPartsEnv(t *testing.T, log audit.Journal, storeURL string) *partsEnv {
	t.Helper()
	e := &partsEnv{ctx: audit.WithActor(context.Background(), audit.Actor{UserID: "u"})}
	b, err := driver.Open(e.ctx, storeURL, driver.Credentials{})
	require.NoError(t, err)
	e.bucket = &countingBucket{Bucket: b}
	if log == nil {
		log = &e.log
	}
	signer, err := signurl.New("https://files.example.com/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(t, err)
	e.store, err = blobstore.New(e.bucket, log, &blobstore.Options{Signer: signer})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.Zero(t, e.bucket.open, "readers left open")
		require.NoError(t, e.store.Close(context.Background()))
	})
	return e
}

func (e *partsEnv) put(t *testing.T, key, content string) {
	t.Helper()
	_, err := e.store.Upload(e.ctx, key, strings.NewReader(content), &blobstore.UploadOptions{Overwrite: true})
	require.NoError(t, err)
}

// redeem issues a GET link to key and redeems it.
func (e *partsEnv) redeem(t *testing.T, key string) *blobstore.Redemption {
	t.Helper()
	link, err := e.store.Link(e.ctx, key, &blobstore.LinkOptions{Revocable: true})
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(e.ctx, http.MethodGet, link.URL(), nil)
	require.NoError(t, err)
	red, err := e.store.Redeem(r)
	require.NoError(t, err)
	return red
}

func (e *partsEnv) downloads(t *testing.T) (out []audit.Entry) {
	t.Helper()
	for entry, err := range e.log.Entries(e.ctx, audit.Query{Actions: []audit.Action{audit.ActionDownload, audit.ActionRedeem}}) {
		require.NoError(t, err)
		out = append(out, entry)
	}
	return out
}

func choose(parts ...blobstore.Range) func(*blobstore.Object) ([]blobstore.Range, error) {
	return func(*blobstore.Object) ([]blobstore.Range, error) { return parts, nil }
}

func readParts(t *testing.T, ctx context.Context, p *blobstore.RangeReader) (out []string) {
	t.Helper()
	for {
		r, err := p.Next(ctx)
		if err == io.EOF {
			require.NoError(t, p.Close())
			return out
		}
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		out = append(out, string(b))
	}
}

func TestDownloadRanges(t *testing.T) {
	type part = blobstore.Range
	for name, c := range map[string]struct {
		choose []part
		expect *part
		want   []string
		size   int64
		rng    string
		reads  int
	}{
		"none":                       {},
		"none, but expected":         {expect: &part{}, reads: 1},
		"the whole":                  {choose: []part{{0, 10}}, want: []string{"0123456789"}, size: 10, reads: 1},
		"the whole, expected":        {choose: []part{{0, 10}}, expect: &part{}, want: []string{"0123456789"}, size: 10, reads: 1},
		"a part":                     {choose: []part{{2, 3}}, want: []string{"234"}, size: 3, rng: "2-3", reads: 1},
		"a part, expected":           {choose: []part{{2, 3}}, expect: &part{2, 3}, want: []string{"234"}, size: 3, rng: "2-3", reads: 1},
		"the end, expected":          {choose: []part{{8, 2}}, expect: &part{8, 100}, want: []string{"89"}, size: 2, rng: "8-2", reads: 1},
		"a part, another expected":   {choose: []part{{2, 3}}, expect: &part{}, want: []string{"234"}, size: 3, rng: "2-3", reads: 2},
		"a part, a wrong one behind": {choose: []part{{2, 3}}, expect: &part{11, 0}, want: []string{"234"}, size: 3, rng: "2-3", reads: 2},
		"several":                    {choose: []part{{4, 2}, {0, 1}, {9, 1}}, want: []string{"45", "0", "9"}, size: 4, rng: "4-2,0-1,9-1", reads: 3},
		"several, first expected":    {choose: []part{{4, 2}, {0, 1}}, expect: &part{4, 2}, want: []string{"45", "0"}, size: 3, rng: "4-2,0-1", reads: 2},
	} {
		for _, storeURL := range []string{"mem://", "file://" + t.TempDir()} {
			t.Run(name+" "+storeURL[:4], func(t *testing.T) {
				e := newPartsEnv(t, nil, storeURL)
				e.put(t, "k", "0123456789")
				p, err := e.redeem(t, "k").DownloadRanges(e.ctx, &blobstore.RangesOptions{Choose: choose(c.choose...), Expect: c.expect})
				require.NoError(t, err)
				require.Len(t, e.downloads(t), 1, "recorded before anything is read")
				assert.Equal(t, "k", p.Object.Key)
				assert.EqualValues(t, 10, p.Object.Size)
				assert.Equal(t, c.want, readParts(t, e.ctx, p))
				assert.Equal(t, c.reads, e.bucket.reads)
				entries := e.downloads(t)
				require.Len(t, entries, 1, "one use, one entry")
				assert.Equal(t, audit.ActionRedeem, entries[0].Action)
				assert.Equal(t, audit.OutcomeOK, entries[0].Outcome)
				assert.Equal(t, c.size, *entries[0].Size)
				assert.Equal(t, c.rng, entries[0].Details.Range)
			})
		}
	}
}

func TestDownloadRangesFails(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		key    string
		choose func(*blobstore.Object) ([]blobstore.Range, error)
		is     error
		code   string
	}{
		"missing":            {"other", choose(), fs.ErrNotExist, "not_found"},
		"refused by Choose":  {"k", func(*blobstore.Object) ([]blobstore.Range, error) { return nil, refused }, refused, "error"},
		"behind the end":     {"k", choose(blobstore.Range{Offset: 10, Length: 1}), blobstore.ErrRange, "range"},
		"over the end":       {"k", choose(blobstore.Range{Offset: 9, Length: 2}), blobstore.ErrRange, "range"},
		"before the start":   {"k", choose(blobstore.Range{Offset: -1, Length: 2}), blobstore.ErrRange, "range"},
		"empty":              {"k", choose(blobstore.Range{Offset: 1}), blobstore.ErrRange, "range"},
		"length overflows":   {"k", choose(blobstore.Range{Offset: 1, Length: 1<<63 - 1}), blobstore.ErrRange, "range"},
		"second behind":      {"k", choose(blobstore.Range{Length: 1}, blobstore.Range{Offset: 10, Length: 1}), blobstore.ErrRange, "range"},
		"nobody to choose":   {"k", nil, nil, ""},
		"a key that is none": {"../k", choose(), blobstore.ErrInvalidKey, ""},
	} {
		for expect, part := range map[string]*blobstore.Range{"": nil, ", expected": {}} {
			t.Run(name+expect, func(t *testing.T) {
				e := newPartsEnv(t, nil, "mem://")
				e.put(t, "k", "0123456789")
				_, err := e.store.DownloadRanges(e.ctx, c.key, &blobstore.RangesOptions{Choose: c.choose, Expect: part})
				require.Error(t, err)
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				var se *blobstore.Error
				require.ErrorAs(t, err, &se)
				entries := e.downloads(t)
				if c.code == "" {
					assert.Empty(t, entries)
					return
				}
				require.Len(t, entries, 1)
				assert.Equal(t, audit.ActionDownload, entries[0].Action)
				assert.Equal(t, audit.OutcomeFailed, entries[0].Outcome)
				assert.Equal(t, c.code, entries[0].ErrorCode)
			})
		}
	}
}

type failingLog struct{ audit.Journal }

var errDisk = errors.New("disk gone")

func (failingLog) Log(context.Context, audit.Event) error { return errDisk }

func TestDownloadRangesWithoutARecord(t *testing.T) {
	e := newPartsEnv(t, failingLog{new(audit.Memory)}, "mem://")
	e.put(t, "k", "0123456789")
	_, err := e.store.DownloadRanges(e.ctx, "k", &blobstore.RangesOptions{Choose: choose(blobstore.Range{Length: 10})})
	require.ErrorIs(t, err, blobstore.ErrAudit)
	require.ErrorIs(t, err, errDisk)
}

func TestDownloadRangesOfAReplacedObject(t *testing.T) {
	t.Run("before the first open", func(t *testing.T) {
		e := newPartsEnv(t, nil, "mem://")
		e.put(t, "k", "0123456789")
		replaced := false
		e.bucket.before = func() {
			if !replaced {
				replaced = true
				e.put(t, "k", "abc")
			}
		}
		p, err := e.store.DownloadRanges(e.ctx, "k", &blobstore.RangesOptions{Choose: func(o *blobstore.Object) ([]blobstore.Range, error) {
			return []blobstore.Range{{Length: o.Size}}, nil
		}})
		require.NoError(t, err)
		assert.Equal(t, []string{"abc"}, readParts(t, e.ctx, p), "chosen again")
		assert.EqualValues(t, 3, *e.downloads(t)[0].Size)
	})
	t.Run("in every attempt", func(t *testing.T) {
		e := newPartsEnv(t, nil, "mem://")
		e.put(t, "k", "0123456789")
		e.bucket.before = func() { e.put(t, "k", "0123456789") }
		_, err := e.store.DownloadRanges(e.ctx, "k", &blobstore.RangesOptions{Choose: choose(blobstore.Range{Length: 10})})
		require.ErrorContains(t, err, "replaced")
		assert.Equal(t, audit.OutcomeFailed, e.downloads(t)[0].Outcome)
	})
	t.Run("between two parts", func(t *testing.T) {
		e := newPartsEnv(t, nil, "mem://")
		e.put(t, "k", "0123456789")
		p, err := e.store.DownloadRanges(e.ctx, "k", &blobstore.RangesOptions{Choose: choose(blobstore.Range{Length: 1}, blobstore.Range{Offset: 5, Length: 1})})
		require.NoError(t, err)
		r, err := p.Next(e.ctx)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		e.put(t, "k", "abcdefghij")
		_, err = p.Next(e.ctx)
		require.ErrorContains(t, err, "replaced")
		require.NoError(t, p.Close())
	})
	t.Run("closed without reading", func(t *testing.T) {
		e := newPartsEnv(t, nil, "mem://")
		e.put(t, "k", "0123456789")
		p, err := e.store.DownloadRanges(e.ctx, "k", &blobstore.RangesOptions{Choose: choose(blobstore.Range{Length: 1})})
		require.NoError(t, err)
		assert.Equal(t, 1, e.bucket.open)
		require.NoError(t, p.Close())
		require.NoError(t, p.Close())
		_, err = p.Next(e.ctx)
		assert.Equal(t, io.EOF, err)
	})
}
