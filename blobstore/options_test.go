package blobstore_test

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// serviceSigned is a bucket with a service that signs every link.
type serviceSigned struct{ driver.Bucket }

func (b serviceSigned) Info() driver.Info {
	info := b.Bucket.Info()
	info.Capabilities.Links.Methods = []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete}
	return info
}

func (b serviceSigned) Sign(_ context.Context, key string, o *driver.SignOptions) (*driver.SignedURL, error) {
	return &driver.SignedURL{URL: "https://service.example.com/" + key, Method: o.Method}, nil
}

// optionsHarness calls an operation with one option at a time.
type optionsHarness struct {
	*testing.T
	ctx    context.Context
	stores []*blobstore.Store // one with links for the handler, one with links of the service
	body   string
	sum    [sha256.Size]byte
}

func newOptionsHarness(t *testing.T) *optionsHarness {
	h := &optionsHarness{T: t, ctx: audit.WithActor(t.Context(), audit.Actor{UserID: "anna", IP: "192.0.2.1"}), body: "%PDF-1.7 content"}
	h.sum = sha256.Sum256([]byte(h.body))
	signer, err := signurl.New("https://files.example.com/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(t, err)
	for _, b := range []driver.Bucket{memstore.New(), serviceSigned{memstore.New()}} {
		s, err := blobstore.New(b, new(audit.Memory), &blobstore.Options{Signer: signer, Grants: new(signurl.MemoryGrants)})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close(context.WithoutCancel(h.ctx))) })
		h.stores = append(h.stores, s)
	}
	return h
}

// samples has a valid value for each option.
type samples[O any] map[string]func(o *O)

// each calls an operation for every exported field of O, with only that option
// set. The operation must succeed, or refuse the options in refused by name.
func each[O any](h *optionsHarness, samples samples[O], refused []string, call func(s *blobstore.Store, o *O) error) {
	h.Helper()
	for field := range reflect.TypeFor[O]().Fields() {
		if !field.IsExported() {
			continue
		}
		set := samples[field.Name]
		if !assert.NotNil(h, set, "%s is a new option: add it to this test", field.Name) {
			continue
		}
		for i, s := range h.stores {
			var o O
			set(&o)
			err := call(s, &o)
			if !slices.Contains(refused, field.Name) {
				assert.NoError(h, err, "store %d: %s", i, field.Name)
				continue
			}
			if assert.Error(h, err, "store %d: %s is ignored", i, field.Name) {
				assert.Contains(h, err.Error(), field.Name, "the error names the option")
			}
		}
	}
	for _, name := range refused {
		require.Contains(h, samples, name)
	}
}

// No option of a link is ignored: an option that does not apply is an error.
func TestLinkOptionsThatDoNotApply(t *testing.T) {
	upload := []string{"ContentType", "Size", "MaxSize", "SHA256", "Overwrite"}
	response := []string{"Filename", "ResponseType", "Inline"}
	for method, refused := range map[string][]string{
		http.MethodGet:    upload,
		http.MethodHead:   append([]string{"MaxUses"}, upload...),
		http.MethodPut:    response,
		http.MethodDelete: append(response, upload...),
	} {
		t.Run(method, func(t *testing.T) {
			h := newOptionsHarness(t)
			each(h, samples[blobstore.LinkOptions]{
				"Method":       func(*blobstore.LinkOptions) {},
				"Expiry":       func(o *blobstore.LinkOptions) { o.Expiry = time.Minute },
				"Resource":     func(o *blobstore.LinkOptions) { o.Resource.ID = "42" },
				"Filename":     func(o *blobstore.LinkOptions) { o.Filename = "a.pdf" },
				"ResponseType": func(o *blobstore.LinkOptions) { o.ResponseType = "application/pdf" },
				"Inline":       func(o *blobstore.LinkOptions) { o.Inline = true },
				"Revocable":    func(o *blobstore.LinkOptions) { o.Revocable = true },
				"MaxUses":      func(o *blobstore.LinkOptions) { o.MaxUses = 2 },
				"UserID":       func(o *blobstore.LinkOptions) { o.UserID = "anna" },
				"IP":           func(o *blobstore.LinkOptions) { o.IP = "192.0.2.1" },
				"ContentType":  func(o *blobstore.LinkOptions) { o.ContentType = "application/pdf" },
				"Size":         func(o *blobstore.LinkOptions) { o.Size = 3 },
				"MaxSize":      func(o *blobstore.LinkOptions) { o.MaxSize = 3 },
				"SHA256":       func(o *blobstore.LinkOptions) { o.SHA256 = h.sum[:] },
				"Overwrite":    func(o *blobstore.LinkOptions) { o.Overwrite = true },
			}, refused, func(s *blobstore.Store, o *blobstore.LinkOptions) error {
				o.Method = method
				_, err := s.Link(h.ctx, "a.pdf", o)
				return err
			})
		})
	}
}

// No option of an upload is ignored, for any kind of upload.
func TestUploadOptionsThatDoNotApply(t *testing.T) {
	h := newOptionsHarness(t)
	all := samples[blobstore.UploadOptions]{
		"Filename":        func(o *blobstore.UploadOptions) { o.Filename = "a.pdf" },
		"ContentType":     func(o *blobstore.UploadOptions) { o.ContentType = "application/pdf" },
		"CacheControl":    func(o *blobstore.UploadOptions) { o.CacheControl = "no-store" },
		"ContentEncoding": func(o *blobstore.UploadOptions) { o.ContentEncoding = "gzip" },
		"Metadata":        func(o *blobstore.UploadOptions) { o.Metadata = map[string]string{"a": "b"} },
		"Resource":        func(o *blobstore.UploadOptions) { o.Resource.ID = "42" },
		"Overwrite":       func(o *blobstore.UploadOptions) { o.Overwrite = true },
		"Size":            func(o *blobstore.UploadOptions) { o.Size = int64(len(h.body)) },
		"SHA256":          func(o *blobstore.UploadOptions) { o.SHA256 = h.sum[:] },
		"MaxSize":         func(o *blobstore.UploadOptions) { o.MaxSize = 1 << 20 },
		"AllowedTypes": func(o *blobstore.UploadOptions) {
			o.ContentType, o.AllowedTypes = "application/pdf", []string{"application/pdf"}
		},
		"Link": func(o *blobstore.UploadOptions) { o.Link = &blobstore.LinkOptions{} },
	}
	// redeemed returns the redemption of a PUT link.
	redeemed := func(s *blobstore.Store, link *blobstore.Link, err error) (*blobstore.Redemption, error) {
		if err != nil {
			return nil, err
		}
		r := httptest.NewRequestWithContext(h.ctx, link.Method, link.URL(), strings.NewReader(h.body))
		r.Header = link.Header
		return s.Redeem(r)
	}
	stage := func(st *blobstore.Staged, err error) error {
		if err != nil {
			return err
		}
		return st.Commit(h.ctx)
	}
	put := &blobstore.LinkOptions{Method: http.MethodPut, Overwrite: true}
	staged := []string{"Overwrite", "Link"}
	for name, way := range map[string]struct {
		refused []string
		call    func(s *blobstore.Store, o *blobstore.UploadOptions) error
	}{
		"Upload": {nil, func(s *blobstore.Store, o *blobstore.UploadOptions) error {
			_, err := s.Upload(h.ctx, blobstore.NewKey("up", "a.pdf"), strings.NewReader(h.body), o)
			return err
		}},
		"Stage": {staged, func(s *blobstore.Store, o *blobstore.UploadOptions) error {
			return stage(s.Stage(h.ctx, blobstore.NewKey("staged", "a.pdf"), strings.NewReader(h.body), o))
		}},
		"BeginUpload": {[]string{"Overwrite", "Link", "CacheControl", "ContentEncoding", "Metadata"}, func(s *blobstore.Store, o *blobstore.UploadOptions) error {
			_, err := s.BeginUpload(h.ctx, blobstore.NewKey("direct", "a.pdf"), time.Minute, o)
			return err
		}},
		"Redemption.Upload": {nil, func(s *blobstore.Store, o *blobstore.UploadOptions) error {
			link, err := s.Link(h.ctx, blobstore.NewKey("link", "a.pdf"), put)
			red, err := redeemed(s, link, err)
			require.NoError(h, err)
			_, err = red.Upload(h.ctx, strings.NewReader(h.body), o)
			return err
		}},
		"Redemption.Stage": {staged, func(s *blobstore.Store, o *blobstore.UploadOptions) error {
			link, err := s.Link(h.ctx, blobstore.NewKey("linked", "a.pdf"), put)
			red, err := redeemed(s, link, err)
			require.NoError(h, err)
			return stage(red.Stage(h.ctx, strings.NewReader(h.body), o))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			sub := *h
			sub.T = t
			each(&sub, all, way.refused, way.call)
		})
	}
	t.Run("Redemption.Upload of a ticket", func(t *testing.T) {
		sub := *h
		sub.T, sub.stores = t, h.stores[:1] // the service receives the upload itself
		each(&sub, all, []string{"Overwrite", "Link", "CacheControl", "ContentEncoding", "Metadata", "Filename", "Resource", "AllowedTypes"}, func(s *blobstore.Store, o *blobstore.UploadOptions) error {
			ticket, err := s.BeginUpload(h.ctx, blobstore.NewKey("ticket", "a.pdf"), time.Minute, nil)
			require.NoError(t, err)
			red, err := redeemed(s, ticket.Link, nil)
			require.NoError(t, err)
			_, err = red.Upload(h.ctx, strings.NewReader(h.body), o)
			return err
		})
	})
}

// A range cannot be verified, and the link of a ticket is not valid for
// downloads.
func TestDownloadOptionsThatDoNotApply(t *testing.T) {
	h := newOptionsHarness(t)
	for _, s := range h.stores {
		_, err := s.Upload(h.ctx, "a", strings.NewReader(h.body), nil)
		require.NoError(t, err)
	}
	each(h, samples[blobstore.DownloadOptions]{
		"Range":    func(o *blobstore.DownloadOptions) { o.Range.Length = 1 },
		"Verify":   func(o *blobstore.DownloadOptions) { o.Verify = true },
		"Resource": func(o *blobstore.DownloadOptions) { o.Resource.ID = "42" },
	}, nil, func(s *blobstore.Store, o *blobstore.DownloadOptions) error {
		r, err := s.Download(h.ctx, "a", o)
		if err != nil {
			return err
		}
		return r.Close()
	})
	_, err := h.stores[0].Download(h.ctx, "a", &blobstore.DownloadOptions{Range: blobstore.Range{Length: 1}, Verify: true})
	require.ErrorIs(t, err, blobstore.ErrUnsupported)
}
