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

// Options configure [New]. Nil and the zero value mean the defaults.
type Options struct {
	// BasePath is where the handler is mounted: a path, or the whole URL behind a
	// proxy that takes HTTPS, since the addresses of uploads begin with it. Empty:
	// "/uploads/".
	BasePath string

	// AllowedOrigins are the origins, such as "https://app.example.com", whose
	// pages may send uploads from elsewhere, in addition to those that
	// Intake.CrossOrigin trusts. A middleware in front must let preflight requests
	// pass. None: only pages of the same origin.
	AllowedOrigins []string
}

// Handler takes resumable uploads. It is safe for concurrent use.
type Handler struct {
	uploads *uploads
	inner   http.Handler
	cross   *http.CrossOriginProtection
	origins []string
	base    string // the path that it is mounted under
}

// uploads are the uploads under way, for the protocol's library.
type uploads struct {
	intake *blobhttp.Intake
	expiry time.Duration
	spool  *spool
	locks  *locks
}

// New returns a handler for resumable uploads, which follow the rules of intake. It
// keeps uploads under way in the folder dir, and makes the folder if it does not
// exist. On Unix New fails if another handler uses the folder; elsewhere the
// application must ensure that only one does. The caller closes the handler when no
// request runs any more.
//
// Intake.Link does not apply: the protocol has no response to put a link into.
func New(intake *blobhttp.Intake, dir string, opts *Options) (*Handler, error) {
	if intake == nil || intake.Store == nil {
		return nil, errors.New("tus: no Intake, or one without a Store")
	}
	if intake.Link != nil {
		return nil, errors.New("tus: Intake.Link is set: the protocol can't carry a link, issue one in Save")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.BasePath == "" {
		o.BasePath = "/uploads/"
	}
	u, err := url.Parse(o.BasePath)
	if err != nil || !strings.HasPrefix(u.Path, "/") {
		return nil, fmt.Errorf("tus: invalid BasePath %q: want a path such as /uploads/, or a URL that ends in one", o.BasePath)
	}
	h := &Handler{
		uploads: &uploads{intake: intake, expiry: intake.Expiry, locks: newLocks()},
		origins: o.AllowedOrigins, base: strings.TrimSuffix(u.Path, "/") + "/", cross: intake.CrossOrigin,
	}
	if h.uploads.expiry <= 0 {
		h.uploads.expiry = 24 * time.Hour
	}
	if h.cross == nil {
		h.cross = http.NewCrossOriginProtection()
	}
	cors, err := allowOrigins(o.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	if h.uploads.spool, err = openSpool(dir); err != nil {
		return nil, fmt.Errorf("tus: %w", err)
	}
	composer := handler.NewStoreComposer()
	composer.UseCore(h.uploads)
	composer.UseTerminater(h.uploads)
	composer.UseLocker(h.uploads.locks)
	inner, err := handler.NewHandler(handler.Config{
		StoreComposer: composer, BasePath: o.BasePath, Cors: cors, // no MaxSize: see uploads.file
		DisableDownload: true, DisableConcatenation: true,
		// Its log would hold the uploads' addresses, which are secrets.
		Logger: expslog.New(expslog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tus: %w", err), h.uploads.spool.close())
	}
	h.inner = http.StripPrefix(strings.TrimSuffix(h.base, "/"), inner)
	return h, nil
}

// allowOrigins returns the CORS rules for pages of these origins.
func allowOrigins(origins []string) (*handler.CorsConfig, error) {
	cors := handler.DefaultCorsConfig
	if len(origins) == 0 {
		cors.Disable = true
		return &cors, nil
	}
	var quoted []string
	for _, origin := range origins {
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil { // which checks its form
			return nil, fmt.Errorf("tus: %w", err)
		}
		quoted = append(quoted, regexp.QuoteMeta(origin))
	}
	cors.AllowOrigin = regexp.MustCompile("^(?:" + strings.Join(quoted, "|") + ")$")
	return &cors, nil
}

// Close lets go of the folder. Uploads under way can be resumed when it is opened
// again.
func (h *Handler) Close() error { return h.uploads.spool.close() }

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.admit(r); err != nil {
		h.refuse(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "private, no-store")
	if most := h.uploads.intake.MaxSize; most > 0 && r.Method == http.MethodOptions {
		w.Header().Set("Tus-Max-Size", strconv.FormatInt(most, 10))
	}
	h.inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, r)))
}

// admit refuses requests that the protocol's library must not see.
func (h *Handler) admit(r *http.Request) error {
	if err := blobhttp.RefuseLink(r); err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(r.URL.Path, h.base)
	if !ok && r.URL.Path+"/" != h.base || ok && rest != "" && !isID(rest) { // before it becomes a file name
		return fs.ErrNotExist
	}
	if !slices.Contains(h.origins, r.Header.Get("Origin")) {
		if err := h.cross.Check(r); err != nil {
			return fmt.Errorf("%w: %w", blobstore.ErrDenied, err)
		}
	}
	a, ok := audit.ActorFrom(r.Context())
	if ok && a.UserID == "" && !h.uploads.intake.AllowAnonymous && r.Method != http.MethodOptions {
		return audit.ErrNoActor
	}
	return nil
}

// refuse responds to a request that the protocol's library does not see. A page
// that may send the request can read the response.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if len(h.origins) > 0 {
		w.Header().Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); slices.Contains(h.origins, origin) {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
	}
	blobhttp.WriteError(w, r, err)
}

// NewUpload implements [handler.DataStore].
func (h *uploads) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
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
func (h *uploads) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	u, err := h.spool.open(id)
	if err == nil && (u.owner != owner(ctx) || time.Since(u.begun) > h.expiry) {
		err = handler.ErrNotFound
	}
	if err != nil {
		return nil, h.fail(ctx, err)
	}
	return &upload{h, u}, nil
}

// AsTerminatableUpload implements [handler.TerminaterDataStore].
func (h *uploads) AsTerminatableUpload(u handler.Upload) handler.TerminatableUpload {
	return u.(*upload)
}

// upload is one that the protocol's library works on, while it holds its lock.
type upload struct {
	h *uploads
	*spooled
}

// GetInfo implements [handler.Upload]. It stores an upload whose bytes are complete
// but which is not stored yet, since the process died or an error occurred then: the
// client takes the response for the end.
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

// FinishUpload implements [handler.Upload]. It does not stop when the client goes
// away, since the client asks again.
func (u *upload) FinishUpload(ctx context.Context) error {
	if u.done {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	obj, err := u.h.finish(ctx, u.spooled)
	switch {
	case err != nil && isFinal(blobhttp.ProblemOf(err).Status):
		err = errors.Join(err, u.remove())
	case err == nil && u.h.intake.Save != nil:
		err = u.h.intake.Save(ctx, []blobhttp.Stored{{Object: obj}})
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
		return handler.ErrNotFound // it is stored
	}
	if err := u.remove(); err != nil {
		return u.h.fail(ctx, err)
	}
	return nil
}

// metaID is the metadata of an object that names its upload.
const metaID = "tusid"

// file describes an upload, as the application wants it. It refuses a size above
// the limit; the protocol's library would do so without saying the limit.
func (h *uploads) file(ctx context.Context, info handler.FileInfo) (*blobhttp.File, error) {
	fields := make(url.Values, len(info.MetaData))
	for name, value := range info.MetaData {
		fields.Set(name, value)
	}
	return h.intake.NewFile(ctx, blobhttp.File{
		Filename: info.MetaData["filename"], ContentType: info.MetaData["filetype"], Size: info.Size, Fields: fields,
		Options: blobstore.UploadOptions{Size: info.Size},
	})
}

// finish stores a complete upload.
func (h *uploads) finish(ctx context.Context, u *spooled) (*blobstore.Object, error) {
	f, err := h.file(ctx, u.info)
	if err != nil {
		// An object of an earlier try exists, even if Prepare refuses now.
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
	o.Size = u.info.Size
	if o.Metadata = maps.Clone(o.Metadata); o.Metadata == nil {
		o.Metadata = make(map[string]string)
	}
	o.Metadata[metaID] = u.info.ID
	obj, err := h.intake.Store.Upload(audit.WithAttrs(ctx, f.Attrs), u.key, content, &o)
	if errors.Is(err, fs.ErrExist) {
		found, statErr := h.stored(ctx, u)
		if found != nil || statErr != nil {
			return found, statErr
		}
	}
	return obj, err
}

// stored returns the object that an earlier try stored, whose response was lost or
// whose row could not be saved; nil if it does not exist.
func (h *uploads) stored(ctx context.Context, u *spooled) (*blobstore.Object, error) {
	obj, err := h.intake.Store.Stat(ctx, u.key)
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

// fail makes a response of err with package blobhttp, which also reports err.
func (h *uploads) fail(ctx context.Context, err error) error {
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
