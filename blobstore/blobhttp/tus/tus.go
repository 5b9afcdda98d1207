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

// Options configures [New]. Nil and the zero value select the defaults.
type Options struct {
	// BasePath is the path of the handler. The URLs of uploads begin with it.
	// Behind a proxy that terminates HTTPS, set it to the whole URL. The
	// default is "/uploads/".
	BasePath string

	// AllowedOrigins lists the origins, such as "https://app.example.com",
	// whose pages may send uploads, in addition to the origins trusted by
	// Intake.CrossOrigin. If empty, only pages of the handler's own origin may.
	// A middleware around the handler must accept preflight requests.
	AllowedOrigins []string
}

// Handler serves resumable uploads. It is safe for concurrent use.
type Handler struct {
	uploads *uploads
	inner   http.Handler
	cross   *http.CrossOriginProtection
	origins []string
	base    string // path of the handler, with a final slash
}

// uploads implements the data store of the tusd library.
type uploads struct {
	intake *blobhttp.Intake
	expiry time.Duration
	spool  *spool
	locks  *locks
}

// New returns a handler for resumable uploads under the rules of intake. It
// keeps unfinished uploads in the folder dir, and creates the folder if
// necessary. On Unix, New fails if another handler uses the folder. On other
// systems, the application must ensure that only one handler uses it. Close the
// handler after its last request.
//
// New does not accept Intake.Link, because the protocol has no response for a
// link. Issue links in Intake.Save instead.
func New(intake *blobhttp.Intake, dir string, opts *Options) (*Handler, error) {
	if intake == nil || intake.Store == nil {
		return nil, errors.New("tus: New: the intake is nil or has no Store")
	}
	if intake.Link != nil {
		return nil, errors.New("tus: New: Intake.Link is set, but the protocol cannot return a link: issue it in Intake.Save")
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
		return nil, fmt.Errorf("tus: invalid Options.BasePath %q: want a path such as /uploads/, or a URL with such a path", o.BasePath)
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
		StoreComposer: composer, BasePath: o.BasePath, Cors: cors, // MaxSize is checked in uploads.file
		DisableDownload: true, DisableConcatenation: true,
		// Discard the log, because it contains the secret URLs of uploads.
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
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil { // validates the origin
			return nil, fmt.Errorf("tus: %w", err)
		}
		quoted = append(quoted, regexp.QuoteMeta(origin))
	}
	cors.AllowOrigin = regexp.MustCompile("^(?:" + strings.Join(quoted, "|") + ")$")
	return &cors, nil
}

// Close releases the spool folder. A new handler can resume its uploads.
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

// admit rejects requests that must not reach the tusd library.
func (h *Handler) admit(r *http.Request) error {
	if err := blobhttp.RefuseLink(r); err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(r.URL.Path, h.base)
	if !ok && r.URL.Path+"/" != h.base || ok && rest != "" && !isID(rest) { // the ID becomes a file name
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

// refuse responds to a rejected request. It sets the CORS headers, so that an
// allowed page can read the response.
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

// upload is an upload in use by the tusd library, which holds its lock.
type upload struct {
	h *uploads
	*spooled
}

// GetInfo implements [handler.Upload]. If all content has arrived but the
// object is not stored yet, after a crash or an error, GetInfo first stores the
// object. Otherwise the client would assume that the upload is complete.
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

// FinishUpload implements [handler.Upload]. It continues if the client
// disconnects, because the client asks again later.
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
		return handler.ErrNotFound // already stored as an object
	}
	if err := u.remove(); err != nil {
		return u.h.fail(ctx, err)
	}
	return nil
}

// metaID is the metadata name of the upload ID in an object.
const metaID = "tusid"

// file applies the rules of the intake to an upload. It rejects a size above
// the limit, because the error of the tusd library would not include the limit.
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

// finish stores a complete upload as an object.
func (h *uploads) finish(ctx context.Context, u *spooled) (*blobstore.Object, error) {
	f, err := h.file(ctx, u.info)
	if err != nil {
		// An earlier attempt may have stored the object before Prepare began to
		// fail.
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

// stored returns the object of an earlier attempt whose response was lost or
// whose row could not be saved. It returns nil if no such object exists.
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

// owner identifies the user and tenant of an upload.
func owner(ctx context.Context) string {
	a, _ := audit.ActorFrom(ctx)
	return strconv.Quote(a.TenantID) + strconv.Quote(a.UserID)
}

// requestKey is the context key of the request. The tusd library passes the
// context to the methods of the data store.
type requestKey struct{}

// fail converts err to an error of the tusd library, with the response of
// package blobhttp. It also reports err.
func (h *uploads) fail(ctx context.Context, err error) error {
	if errors.As(err, new(handler.Error)) {
		return err // an error of the tusd library
	}
	r, ok := ctx.Value(requestKey{}).(*http.Request)
	if !ok {
		r = new(http.Request)
	}
	w := &recorder{header: make(http.Header)}
	blobhttp.WriteError(w, r.WithContext(ctx), err)
	out := handler.HTTPResponse{StatusCode: w.status, Body: string(w.body), Header: handler.HTTPHeader{}}
	for name := range w.header {
		out.Header[name] = w.header.Get(name)
	}
	return handler.Error{ErrorCode: "ERR_STORE", Message: "see the problem document", HTTPResponse: out}
}

// isFinal reports whether repeating the request cannot succeed.
func isFinal(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// recorder records a response.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorder) Header() http.Header    { return r.header }
func (r *recorder) WriteHeader(status int) { r.status = status }
func (r *recorder) Write(p []byte) (int, error) {
	r.body = append(r.body, p...)
	return len(p), nil
}

// isID reports whether s has the form of an upload ID.
func isID(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}
