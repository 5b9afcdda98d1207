package s3store_test

// This file tests services that implement S3's protocol incompletely.

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // it is what S3 uses for ETags
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/s3store"
	"github.com/blobtrail/blobtrail/secret"
)

// quirky is a small S3 service that checks no signatures.
type quirky struct {
	// quirk may respond instead of the service. It then returns true.
	quirk func(w http.ResponseWriter, r *http.Request) bool
	// Conditions ignored by the service.
	ignoresPut, ignoresComplete bool

	mu      sync.Mutex
	gone    bool // the bucket
	objects map[string]*stored
	parts   map[string][]byte
	heads   int // requests for the bucket's head
}

type stored struct {
	content []byte
	header  http.Header
	at      time.Time
}

func (o *stored) etag() string { return fmt.Sprintf(`"%x"`, md5.Sum(o.content)) } //nolint:gosec // as S3

func newQuirky(t *testing.T) (*quirky, *s3store.Options) {
	q := &quirky{objects: map[string]*stored{}, parts: map[string][]byte{}}
	srv := httptest.NewServer(q)
	t.Cleanup(srv.Close)
	return q, &s3store.Options{
		Bucket: "files", Endpoint: srv.URL, Region: "us-east-1", UsePathStyle: true,
		AccessKey: secret.New("key"), SecretKey: secret.New("secret"), Encryption: "none",
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
}

func (q *quirky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if q.quirk != nil && q.quirk(w, r) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/files"), "/")
	if q.gone {
		refuse(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	if key == "" {
		q.bucket(w, r)
		return
	}
	q.object(w, r, key, body)
}

func (q *quirky) bucket(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		q.heads++
		return
	}
	if r.URL.Query().Has("uploads") {
		_, _ = io.WriteString(w, "<ListMultipartUploadsResult/>")
		return
	}
	type item struct{ Key, LastModified, ETag, Size string }
	list := struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []item
	}{}
	for k, o := range q.objects {
		if strings.HasPrefix(k, r.URL.Query().Get("prefix")) {
			list.Contents = append(list.Contents, item{k, o.at.Format("2006-01-02T15:04:05.000Z"), o.etag(), fmt.Sprint(len(o.content))})
		}
	}
	_ = xml.NewEncoder(w).Encode(list)
}

func (q *quirky) object(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	o, query := q.objects[key], r.URL.Query()
	taken := o != nil && r.Header.Get("If-None-Match") == "*"
	switch {
	case r.Method == http.MethodPost && query.Has("uploads"):
		q.parts[key] = nil
		_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
	case r.Method == http.MethodPut && query.Has("partNumber"):
		q.part(w, r, key, body)
	case r.Method == http.MethodPost && taken && !q.ignoresComplete, r.Method == http.MethodPut && taken && !q.ignoresPut:
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
	case r.Method == http.MethodPost:
		q.objects[key] = &stored{content: q.parts[key], header: http.Header{}, at: time.Now().UTC()}
		_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>", q.objects[key].etag())
	case r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "":
		q.copy(w, r, key)
	case r.Method == http.MethodPut:
		q.objects[key] = &stored{content: body, header: r.Header.Clone(), at: time.Now().UTC()}
		w.Header().Set("ETag", q.objects[key].etag())
	case r.Method == http.MethodDelete && !query.Has("uploadId"):
		delete(q.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case o == nil:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	default:
		o.serve(w, r)
	}
}

func (q *quirky) copy(w http.ResponseWriter, r *http.Request, key string) {
	src := q.objects[strings.TrimPrefix(r.Header.Get("X-Amz-Copy-Source"), "files/")]
	if match := r.Header.Get("X-Amz-Copy-Source-If-Match"); match != "" && match != src.etag() {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	q.objects[key] = &stored{content: src.content, header: r.Header.Clone(), at: time.Now().UTC()}
	_, _ = fmt.Fprintf(w, "<CopyObjectResult><ETag>%s</ETag></CopyObjectResult>", src.etag())
}

func (o *stored) serve(w http.ResponseWriter, r *http.Request) {
	for name, v := range o.header {
		if strings.HasPrefix(name, "X-Amz-Meta-") || name == "Content-Type" || name == "Content-Encoding" {
			w.Header()[name] = v
		}
	}
	w.Header().Set("ETag", o.etag())
	http.ServeContent(w, r, "", o.at, bytes.NewReader(o.content))
}

func (q *quirky) part(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	if from := r.Header.Get("X-Amz-Copy-Source"); from != "" {
		src := q.objects[strings.TrimPrefix(from, "files/")]
		if match := r.Header.Get("X-Amz-Copy-Source-If-Match"); match != "" && match != src.etag() {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		q.parts[key] = append(q.parts[key], src.content...)
		_, _ = fmt.Fprintf(w, "<CopyPartResult><ETag>%s</ETag></CopyPartResult>", src.etag())
		return
	}
	q.parts[key] = append(q.parts[key], body...)
	w.Header().Set("ETag", `"part"`)
}

func openQuirky(t *testing.T, o *s3store.Options) (*blobstore.Store, *audit.Memory, context.Context) {
	t.Helper()
	b, err := s3store.Open(t.Context(), o)
	require.NoError(t, err)
	trail := &audit.Memory{}
	s, err := blobstore.New(b, trail, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s, trail, audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
}

// emptyAnswer is the response of a service that mistakes a request for another
// one.
func emptyAnswer(w http.ResponseWriter, match bool) bool {
	if match {
		w.Header().Set("ETag", `"0"`)
		w.WriteHeader(http.StatusOK)
	}
	return match
}

func TestCheckTriesCreateOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(q *quirky)
		step string // empty: Check passes
		text string
	}{
		"honored":               {set: func(*quirky) {}},
		"ignored":               {func(q *quirky) { q.ignoresPut = true }, "create", "ignores the condition"},
		"ignored on completion": {func(q *quirky) { q.ignoresComplete = true }, "copy", "ignores the condition"},
		"ignored everywhere": {func(q *quirky) {
			q.ignoresPut, q.ignoresComplete = true, true
		}, "create", "replaced the object"},
		"501 for the condition": {func(q *quirky) {
			q.quirk = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("If-None-Match") == "" {
					return false
				}
				refuse(w, http.StatusNotImplemented, "NotImplemented")
				return true
			}
		}, "create", "does not implement create-only"},
		"501 without a code": {func(q *quirky) {
			q.quirk = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("If-None-Match") != "" {
					w.WriteHeader(http.StatusNotImplemented)
				}
				return r.Header.Get("If-None-Match") != ""
			}
		}, "create", "does not implement create-only"},
		"no UploadPartCopy": {func(q *quirky) {
			q.quirk = func(w http.ResponseWriter, r *http.Request) bool {
				return emptyAnswer(w, r.URL.Query().Has("partNumber") && r.Header.Get("X-Amz-Copy-Source") != "")
			}
		}, "copy", "does not support conditional copies"},
	} {
		t.Run(name, func(t *testing.T) {
			q, o := newQuirky(t)
			tt.set(q)
			s, trail, _ := openQuirky(t, o)
			require.False(t, s.Info().Capabilities.ExactCreate, "it was not observed yet")
			require.Empty(t, s.Info().Capabilities.Links.IfNotExist)
			err := s.Check(t.Context())
			if tt.step == "" {
				require.NoError(t, err)
				require.True(t, s.Info().Capabilities.ExactCreate)
				require.Equal(t, driver.ByService, s.Info().Capabilities.Links.IfNotExist)
			} else {
				var ce *blobstore.CheckError
				require.ErrorAs(t, err, &ce)
				require.Equal(t, tt.step, ce.Step, "%v", err)
				require.ErrorContains(t, err, tt.text)
				require.False(t, s.Info().Capabilities.ExactCreate)
				require.Empty(t, s.Info().Capabilities.Links.IfNotExist)
			}
			require.Empty(t, q.objects, "nothing is left")
			require.Zero(t, trail.OpenIntents())
		})
	}
}

// If the service ignores the condition, an upload still does not replace a
// visible object, before and after Check.
func TestUploadLooksFirstWhereTheServiceDoesNot(t *testing.T) {
	q, o := newQuirky(t)
	q.ignoresPut, q.ignoresComplete = true, true
	s, trail, ctx := openQuirky(t, o)
	for range 2 {
		key := blobstore.NewKey("contracts", "a.txt")
		_, err := s.Upload(ctx, key, strings.NewReader("the contract"), nil)
		require.NoError(t, err)
		_, err = s.Upload(ctx, key, strings.NewReader("another"), nil)
		require.ErrorIs(t, err, fs.ErrExist)
		_, err = s.Upload(ctx, "b", strings.NewReader("b"), &blobstore.UploadOptions{Overwrite: true})
		require.NoError(t, err)
		require.ErrorIs(t, s.Copy(ctx, key, "b", nil), fs.ErrExist)
		require.Equal(t, "the contract", string(q.objects[key].content))
		require.Error(t, s.Check(ctx))
	}
	require.Zero(t, trail.OpenIntents())
	_, err := s.Link(ctx, "c", &blobstore.LinkOptions{Method: http.MethodPut})
	require.ErrorIs(t, err, blobstore.ErrUnsupported, "nothing would hold it to create-only")
}

func TestCopyNeverPanics(t *testing.T) {
	for name, quirk := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"UploadPartCopy": func(w http.ResponseWriter, r *http.Request) bool {
			return emptyAnswer(w, r.URL.Query().Has("partNumber"))
		},
		"CopyObject": func(w http.ResponseWriter, r *http.Request) bool {
			return emptyAnswer(w, r.Header.Get("X-Amz-Copy-Source") != "")
		},
		"CreateMultipartUpload": func(w http.ResponseWriter, r *http.Request) bool {
			return emptyAnswer(w, r.URL.Query().Has("uploads") && r.Method == http.MethodPost)
		},
		"copies, of which an empty object is made": func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("X-Amz-Copy-Source")
			return false
		},
		"an empty answer to HEAD": func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodHead
		},
	} {
		for _, createOnly := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " create-only ", createOnly), func(t *testing.T) {
				q, o := newQuirky(t)
				s, _, ctx := openQuirky(t, o)
				_, err := s.Upload(ctx, "src", strings.NewReader("content"), nil)
				require.NoError(t, err)
				q.quirk = quirk
				require.NotPanics(t, func() { err = s.Move(ctx, "dst", "src", &blobstore.CopyOptions{Overwrite: !createOnly}) })
				q.quirk = nil
				if err == nil { // by the other of the two requests
					require.Equal(t, "content", string(q.objects["dst"].content))
				} else if !errors.Is(err, blobstore.ErrInDoubt) {
					require.NotContains(t, q.objects, "dst")
					require.Equal(t, "content", string(q.objects["src"].content))
				}
			})
		}
	}
}

func TestListingWithoutTimesIsAnError(t *testing.T) {
	q, o := newQuirky(t)
	s, _, ctx := openQuirky(t, o)
	q.quirk = func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.WriteString(w, "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>")
		return true
	}
	var listErr error
	for _, listErr = range s.List(ctx, nil) {
	}
	require.ErrorContains(t, listErr, "listing")
}

// The response to HEAD has no body, so a missing bucket looks like a missing
// object.
func TestMissingBucketIsNotAMissingObject(t *testing.T) {
	q, o := newQuirky(t)
	s, trail, ctx := openQuirky(t, o)
	_, err := s.Upload(ctx, "a", strings.NewReader("a"), nil)
	require.NoError(t, err)
	_, err = s.Stat(ctx, "b")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotErrorIs(t, err, blobstore.ErrNoBucket)
	require.Equal(t, 1, q.heads, "the bucket is asked for when an object is missing")
	_, err = s.Stat(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, 1, q.heads, "and only then")

	before := trail.OpenIntents()
	q.gone = true
	_, err = s.Stat(ctx, "a")
	require.ErrorIs(t, err, blobstore.ErrNoBucket)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, s.Delete(ctx, "a", nil), blobstore.ErrNoBucket)
	require.Equal(t, before, trail.OpenIntents())
	// If a service refuses HEAD for a bucket, the provider lists it.
	q.quirk = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead && r.URL.Path == "/files" {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	_, err = s.Stat(ctx, "a")
	require.ErrorIs(t, err, blobstore.ErrNoBucket)
	q.gone = false
	_, err = s.Stat(ctx, "b")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
