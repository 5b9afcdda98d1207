package tus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	expslog "golang.org/x/exp/slog"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/blobhttp"
)

// Options configure a [Handler]. Nil and the zero value mean the defaults.
type Options struct {
	// BasePath is where the handler is mounted: a path, or, behind a proxy that
	// takes HTTPS, the whole URL, since clients are sent to what begins with it.
	// Empty: "/uploads/".
	BasePath string

	// Prefix is where the files go: the key of each is
	// blobstore.NewKey(Prefix, its name), unless Prepare sets another.
	Prefix string

	// MaxBytes limits each file, in bytes; the store's own limit comes beside it,
	// but only when the file is complete. 0: no limit.
	MaxBytes int64
	// AllowedTypes are the MIME types that are allowed, such as "image/*", judged
	// by the content when it is complete. None: all.
	AllowedTypes []string

	// Expiry is how long an upload may take from its beginning. 0: 24 hours.
	Expiry time.Duration

	// Prepare, if not nil, is called before an upload begins, and again with the
	// same Filename and Fields, which are all that is kept, when it is complete.
	// It may change the file's options, the first time its key, and refuse it by
	// an error: one that wraps blobstore.ErrDenied, or a *blobhttp.Problem. What is
	// stored already, but not yet saved, it can't refuse any more.
	Prepare func(ctx context.Context, f *File) error

	// Save, if not nil, is called when an upload is stored, for the rows of the
	// host's own database. If it returns an error the client is told so and may
	// ask again, upon which Save is called again for the same object.
	Save func(ctx context.Context, obj *blobstore.Object) error

	// AllowedOrigins are the origins, such as "https://app.example.com", whose
	// pages may send uploads from elsewhere. A middleware in front must let preflight
	// requests pass. None: only pages of the same origin.
	AllowedOrigins []string

	// Anonymous lets requests of nobody through. Without it a request whose
	// actor has no user is answered 401.
	Anonymous bool
}

// File is a file that is about to be uploaded, or was.
type File struct {
	Filename string            // as the client calls it, in its metadata "filename": not to be trusted, not safe as a path
	Fields   map[string]string // all of the client's metadata
	Size     int64             // bytes

	Key     string                  // where it will be stored
	Options blobstore.UploadOptions // may be changed, except for Overwrite, Link and Use, which are ignored
}

// Handler takes resumable uploads. It is safe for concurrent use.
type Handler struct {
	store *blobstore.Store
	opts  Options
	spool *spool
	inner http.Handler
	locks *locks
	cross *http.CrossOriginProtection
	base  string // the path that it is mounted under
}

// New returns a handler for uploads to store, which keeps those under way in the
// folder dir and makes it if it does not exist. It fails if another handler uses
// that folder, on Unix; elsewhere it is up to the host that only one does. The
// caller closes the handler when no request runs any more.
func New(store *blobstore.Store, dir string, opts *Options) (*Handler, error) {
	if store == nil {
		return nil, errors.New("tus: nil store")
	}
	h := &Handler{store: store, locks: newLocks(), cross: http.NewCrossOriginProtection()}
	if opts != nil {
		h.opts = *opts
	}
	o := &h.opts
	if o.BasePath == "" {
		o.BasePath = "/uploads/"
	}
	if o.Expiry <= 0 {
		o.Expiry = 24 * time.Hour
	}
	u, err := url.Parse(o.BasePath)
	if err != nil || !strings.HasPrefix(u.Path, "/") {
		return nil, fmt.Errorf("tus: BasePath %q: want a path such as /uploads/, or a URL that ends in one", o.BasePath)
	}
	h.base = strings.TrimSuffix(u.Path, "/") + "/"
	cors, err := h.allowOrigins()
	if err != nil {
		return nil, err
	}
	if h.spool, err = openSpool(dir); err != nil {
		return nil, fmt.Errorf("tus: %w", err)
	}
	composer := handler.NewStoreComposer()
	composer.UseCore(h)
	composer.UseTerminater(h)
	composer.UseLocker(h.locks)
	inner, err := handler.NewHandler(handler.Config{
		StoreComposer: composer, BasePath: o.BasePath, MaxSize: o.MaxBytes, Cors: cors,
		DisableDownload: true, DisableConcatenation: true,
		// Its log would hold the uploads' addresses, which are secrets.
		Logger: expslog.New(expslog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tus: %w", err), h.spool.close())
	}
	h.inner = http.StripPrefix(strings.TrimSuffix(h.base, "/"), inner)
	return h, nil
}

// allowOrigins lets the pages of some origins through.
func (h *Handler) allowOrigins() (*handler.CorsConfig, error) {
	cors := handler.DefaultCorsConfig
	if len(h.opts.AllowedOrigins) == 0 {
		cors.Disable = true
		return &cors, nil
	}
	var quoted []string
	for _, origin := range h.opts.AllowedOrigins {
		if err := h.cross.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("tus: %w", err)
		}
		quoted = append(quoted, regexp.QuoteMeta(origin))
	}
	cors.AllowOrigin = regexp.MustCompile("^(?:" + strings.Join(quoted, "|") + ")$")
	return &cors, nil
}

// Close lets go of the folder. Uploads under way can be resumed when it is opened
// again.
func (h *Handler) Close() error { return h.spool.close() }

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := blobhttp.RefuseLink(r); err != nil {
		h.refuse(w, r, err)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, h.base)
	switch {
	case !ok && r.URL.Path+"/" == h.base:
	case !ok, rest != "" && !isID(rest): // before anybody makes a file name of it
		h.refuse(w, r, fs.ErrNotExist)
		return
	}
	err := h.cross.Check(r)
	if err != nil {
		err = fmt.Errorf("%w: %w", blobstore.ErrDenied, err)
	} else if a, ok := audit.ActorFrom(r.Context()); ok && a.UserID == "" && !h.opts.Anonymous && r.Method != http.MethodOptions {
		err = audit.ErrNoActor
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "private, no-store")
	h.inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, r)))
}

// refuse answers a request that the protocol's library does not get to see, so
// that a page which may send it can read why.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if len(h.opts.AllowedOrigins) > 0 {
		w.Header().Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); slices.Contains(h.opts.AllowedOrigins, origin) {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
	}
	blobhttp.WriteError(w, r, err)
}

// NewUpload implements [handler.DataStore].
func (h *Handler) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	f, err := h.file(ctx, info)
	if err == nil {
		err = blobstore.CheckKey(f.Key)
	}
	if err != nil {
		return nil, h.fail(ctx, err)
	}
	u, err := h.spool.create(info, f.Key, owner(ctx))
	if err != nil {
		return nil, h.fail(ctx, err)
	}
	return &upload{h, u}, nil
}

// GetUpload implements [handler.DataStore].
func (h *Handler) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	u, err := h.spool.open(id)
	if err == nil && (u.owner != owner(ctx) || time.Since(u.begun) > h.opts.Expiry) {
		err = handler.ErrNotFound
	}
	if err != nil {
		return nil, h.fail(ctx, err)
	}
	return &upload{h, u}, nil
}

// AsTerminatableUpload implements [handler.TerminaterDataStore].
func (h *Handler) AsTerminatableUpload(u handler.Upload) handler.TerminatableUpload {
	return u.(*upload)
}

// upload is one that the protocol's library works on, while it holds its lock.
type upload struct {
	h *Handler
	*spooled
}

// GetInfo implements [handler.Upload]. An upload of which everything is here, but
// which is not stored yet, since the process died at that point or something
// failed, is stored now: its client takes the answer for the end.
func (u *upload) GetInfo(ctx context.Context) (handler.FileInfo, error) {
	if u.complete() {
		if err := u.FinishUpload(ctx); err != nil {
			return handler.FileInfo{}, err
		}
	}
	return u.info, nil
}

// WriteChunk implements [handler.Upload].
func (u *upload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	n, err := u.write(offset, src)
	if err != nil {
		err = u.h.fail(ctx, err)
	}
	return n, err
}

// GetReader implements [handler.Upload].
func (u *upload) GetReader(context.Context) (io.ReadCloser, error) { return nil, handler.ErrNotFound }

// FinishUpload implements [handler.Upload]: the upload goes the way of every
// other. That is not broken off when the client goes away, which asks again.
func (u *upload) FinishUpload(ctx context.Context) error {
	if u.done {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	obj, err := u.h.finish(ctx, u.spooled)
	switch {
	case err != nil && isFinal(blobhttp.ProblemOf(err).Status):
		err = errors.Join(err, u.remove())
	case err == nil && u.h.opts.Save != nil:
		err = u.h.opts.Save(ctx, obj)
	}
	if err == nil {
		err = u.finished()
	}
	if err != nil {
		return u.h.fail(ctx, err)
	}
	return nil
}

// Terminate implements [handler.TerminatableUpload].
func (u *upload) Terminate(ctx context.Context) error {
	if u.done {
		return handler.ErrNotFound // it is the store's now
	}
	if err := u.remove(); err != nil {
		return u.h.fail(ctx, err)
	}
	return nil
}

// metaID is the metadata of an object by which an upload knows it again.
const metaID = "tusid"

// file describes an upload, as the host wants it.
func (h *Handler) file(ctx context.Context, info handler.FileInfo) (*File, error) {
	name := info.MetaData["filename"]
	f := &File{
		Filename: name, Fields: info.MetaData, Size: info.Size, Key: blobstore.NewKey(h.opts.Prefix, name),
		Options: blobstore.UploadOptions{Filename: name, AllowedTypes: h.opts.AllowedTypes, MaxSize: h.opts.MaxBytes},
	}
	if h.opts.Prepare != nil {
		if err := h.opts.Prepare(ctx, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// finish stores what has come.
func (h *Handler) finish(ctx context.Context, u *spooled) (*blobstore.Object, error) {
	f, err := h.file(ctx, u.info)
	if err != nil {
		// What an earlier try has stored is there, whatever the host says now.
		found, statErr := h.stored(ctx, u)
		if found != nil || statErr != nil {
			return found, statErr
		}
		return nil, err
	}
	content, err := u.content()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	o := f.Options
	o.Size, o.Overwrite, o.Link, o.Use = u.info.Size, false, nil, nil
	if o.Metadata = maps.Clone(o.Metadata); o.Metadata == nil {
		o.Metadata = make(map[string]string)
	}
	o.Metadata[metaID] = u.info.ID
	obj, err := h.store.Upload(ctx, u.key, content, &o)
	if errors.Is(err, fs.ErrExist) {
		found, statErr := h.stored(ctx, u)
		if found != nil || statErr != nil {
			return found, statErr
		}
	}
	return obj, err
}

// stored returns the object of an upload that was stored by an earlier try, of
// which nobody heard or whose row could not be saved; nil if there is none.
func (h *Handler) stored(ctx context.Context, u *spooled) (*blobstore.Object, error) {
	obj, err := h.store.Stat(ctx, u.key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil || obj.Metadata[metaID] != u.info.ID:
		return nil, err
	}
	return obj, nil
}

// owner is who an upload belongs to.
func owner(ctx context.Context) string {
	a, _ := audit.ActorFrom(ctx)
	return strconv.Quote(a.TenantID) + strconv.Quote(a.UserID)
}

// requestKey is the key of a request in its own context, where the methods that
// the protocol's library calls find it.
type requestKey struct{}

// fail returns err as the response of package blobhttp, which also reports it.
func (h *Handler) fail(ctx context.Context, err error) error {
	if errors.As(err, new(handler.Error)) {
		return err // of the protocol
	}
	r, ok := ctx.Value(requestKey{}).(*http.Request)
	if !ok {
		r = new(http.Request)
	}
	w := &answer{header: make(http.Header)}
	blobhttp.WriteError(w, r.WithContext(ctx), err)
	out := handler.HTTPResponse{StatusCode: w.status, Body: string(w.body), Header: handler.HTTPHeader{}}
	for name := range w.header {
		out.Header[name] = w.header.Get(name)
	}
	return handler.Error{ErrorCode: "ERR_STORE", Message: "see the problem", HTTPResponse: out}
}

// isFinal reports whether an upload that is refused so will be refused again.
func isFinal(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// answer keeps an answer.
type answer struct {
	header http.Header
	status int
	body   []byte
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }
func (a *answer) Write(p []byte) (int, error) {
	a.body = append(a.body, p...)
	return len(p), nil
}

// isID reports whether s can be the id of an upload.
func isID(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}
