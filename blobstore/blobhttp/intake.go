package blobhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/internal/limit"
)

// Intake is a set of rules for incoming files. [Intake.Form], [Intake.Direct]
// and package tus, which handles resumable uploads, apply the same rules. Do
// not modify an Intake after creating a handler from it.
type Intake struct {
	// Store stores the files. It is required.
	Store *blobstore.Store

	// Prefix is the folder of the files. The key of a file is
	// blobstore.NewKey(Prefix, filename), unless Prepare sets a different key.
	Prefix string
	// MaxSize limits each file, in bytes, in addition to the limit of the
	// store. Zero means no additional limit.
	MaxSize int64
	// AllowedTypes lists the accepted MIME types, such as "image/*". The store
	// detects the type from the content. An empty list accepts all types.
	AllowedTypes []string
	// Expiry limits the duration of an upload in several requests. A direct
	// upload must start within this time, and a resumable upload must be
	// complete. Zero means the store's default for links (direct), or 24 hours
	// (resumable).
	Expiry time.Duration

	// Prepare, if not nil, is called before a file is received. It may change
	// the key, options and attributes of the file. An error refuses the file;
	// return a *Problem or an error that wraps blobstore.ErrDenied to select
	// the response. Package tus calls Prepare again, with the same Filename and
	// Fields, once the file is complete.
	Prepare func(ctx context.Context, f *File) error

	// Save, if not nil, is called after all files of a request are stored, to
	// insert the application's rows. See [Stored] for the effect of an error on
	// the files.
	Save func(ctx context.Context, files []Stored) error

	// Link, if not nil, adds a link to each file in the responses of Form and
	// Direct.
	Link *blobstore.LinkOptions

	// AllowAnonymous allows unauthenticated requests. If false, a request whose
	// actor has no user gets status 401.
	AllowAnonymous bool

	// CrossOrigin is the protection against request forgery. It decides which
	// cross-origin requests are refused. Nil refuses all of them.
	CrossOrigin *http.CrossOriginProtection
}

// File is an announced file, for Intake.Prepare.
type File struct {
	// The following fields are claims of the client. Do not trust them.

	Field       string     // name of the form field; empty outside of forms
	Filename    string     // name without folders; not safe as a path
	ContentType string     // declared MIME type; may be empty
	Size        int64      // announced size in bytes; 0 means unknown or empty
	Fields      url.Values // form fields before the file, DirectBegin.Fields, or the metadata of a resumable upload

	// Prepare may change the following fields.

	Key     string                  // key of the new object
	Options blobstore.UploadOptions // initially the limits of the Intake and the claims of the client; Overwrite and Link must remain unset
	Attrs   map[string]string       // additional attributes for the trail; see audit.WithAttrs

	// Body is the content of a file in a form, and nil otherwise. Prepare may
	// wrap it, for example in an io.TeeReader. The store then reads from the
	// wrapper.
	Body io.Reader
}

// Stored is a received file, for Intake.Save.
type Stored struct {
	// Object describes the stored file.
	Object *blobstore.Object

	// Staged is the open operation of a file in a form. To store the file and
	// the application's row together, call Journal.CommitTx of package sqlaudit
	// with Staged in the transaction of the row.
	//
	// If Save returns an error, Form removes the files. Save must therefore not
	// return an error after committing its transaction. If the outcome of the
	// transaction is unknown, return an error that wraps blobstore.ErrInDoubt.
	// Form then leaves the files to blobstore.Store.Reconcile, which keeps
	// those with a committed CommitTx. Form does the same if Save panics.
	//
	// Staged is nil if the file is already stored and recorded, as in Direct
	// and package tus. If Save then returns an error, the file remains, and
	// Save is called again when the client repeats the request. Save must
	// accept an existing row.
	Staged *blobstore.Staged
}

// need panics if the intake has no store. Constructors of handlers call it.
func (in *Intake) need(handler string) {
	if in == nil || in.Store == nil {
		panic("blobhttp: " + handler + ": Intake.Store is nil")
	}
}

// admit rejects a request before its body is read.
func (in *Intake) admit(r *http.Request) error {
	if err := RefuseLink(r); err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		return errMethod
	}
	protection := in.CrossOrigin
	if protection == nil {
		protection = defaultProtection
	}
	if err := protection.Check(r); err != nil {
		return fmt.Errorf("%w: %w", errCrossOrigin, err)
	}
	return needUser(r.Context(), in.AllowAnonymous)
}

var defaultProtection = http.NewCrossOriginProtection()

// needUser rejects a request whose actor has no user. It accepts a request
// without an actor, because the store may have a default actor.
func needUser(ctx context.Context, anonymous bool) error {
	if a, ok := audit.ActorFrom(ctx); ok && a.UserID == "" && !anonymous {
		return errUnauthenticated
	}
	return nil
}

// NewFile completes an announced file. It removes folders from the name, sets
// the key and the limits, and calls Prepare. It returns an error if the
// announced size exceeds the limit. Handlers of other protocols, such as
// package tus, call NewFile for each file.
func (in *Intake) NewFile(ctx context.Context, announced File) (*File, error) {
	f := &announced
	f.Filename = baseName(f.Filename)
	f.Key = blobstore.NewKey(in.Prefix, f.Filename)
	f.Options.Filename, f.Options.MaxSize, f.Options.AllowedTypes = f.Filename, in.MaxSize, in.AllowedTypes
	if in.Prepare != nil {
		if err := in.Prepare(ctx, f); err != nil {
			return nil, err
		}
	}
	if most := f.Options.MaxSize; most > 0 && f.Size > most {
		return nil, limit.Size(blobstore.ErrTooLarge, fmt.Sprintf("%d bytes", f.Size), most)
	}
	if f.Options.Overwrite || f.Options.Link != nil {
		return nil, errors.New("blobhttp: Prepare set File.Options.Overwrite or Link: leave both unset, and use Intake.Link")
	}
	return f, nil
}

// baseName removes the folders from a file name. Some clients send a whole
// path, with Windows or Unix separators.
func baseName(name string) string {
	return name[strings.LastIndexAny(name, `/\`)+1:]
}
