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

// Intake is one set of rules for files that clients send, whichever way they
// come: by [Intake.Form], by [Intake.Direct], or by package tus, which takes
// resumable uploads. Its fields must not change once a handler was made of it.
type Intake struct {
	// Store takes the files. Required.
	Store *blobstore.Store

	// Prefix is the folder of the files. The key of each file is
	// blobstore.NewKey(Prefix, its name), unless Prepare sets another.
	Prefix string
	// MaxSize limits each file, in bytes, in addition to the limit of the store.
	// 0: no limit.
	MaxSize int64
	// AllowedTypes are the allowed MIME types, such as "image/*". The content
	// decides, not the client. None: all types.
	AllowedTypes []string
	// Expiry limits the time of an upload that takes several requests: a direct upload
	// must have begun, and a resumable one must be complete, within it. 0: the default
	// of the store for links (direct), and 24 hours (resumable).
	Expiry time.Duration

	// Prepare, if not nil, is called before a file is received. It may change the
	// key, options and attributes of the file. An error refuses the file: one that
	// wraps blobstore.ErrDenied, for instance, or a *Problem. Package tus calls
	// Prepare again, with the same Filename and Fields, when the file is complete.
	Prepare func(ctx context.Context, f *File) error

	// Save, if not nil, is called when all files of a request are stored, to insert
	// the rows of the application. See Stored for the effect of an error on the files.
	Save func(ctx context.Context, files []Stored) error

	// Link, if not nil, adds a link to each file to the response of Form and Direct.
	Link *blobstore.LinkOptions

	// AllowAnonymous allows requests without a user. Otherwise a request whose
	// actor has no user gets a 401.
	AllowAnonymous bool

	// CrossOrigin decides which requests are refused as a possible forgery, since a
	// page of another origin sent them. Nil: all of those.
	CrossOrigin *http.CrossOriginProtection
}

// File is a file that a client is about to send, for Intake.Prepare.
type File struct {
	// Claims of the client, which are not to be trusted.

	Field       string     // name of the form field; empty unless the file comes by a form
	Filename    string     // without the folders that some clients send along; not safe as a path
	ContentType string     // declared MIME type; may be empty
	Size        int64      // announced size in bytes; 0: unknown, or an empty file
	Fields      url.Values // other fields: those before the file in a form, the fields of DirectBegin, or the metadata of package tus

	// Values that Prepare may change.

	Key     string                  // key to store the file under
	Options blobstore.UploadOptions // limits of the Intake, and what Direct's client announced; not Overwrite, Link
	Attrs   map[string]string       // attributes of the application for the trail; see audit.WithAttrs

	// Body is the content of a file that comes by a form, and nil otherwise. Prepare
	// may wrap it, for instance in an io.TeeReader; the wrapper's bytes are stored.
	Body io.Reader
}

// Stored is a file that has arrived, for Intake.Save.
type Stored struct {
	Object *blobstore.Object

	// Staged is the open operation of a file that comes by a form. CommitTx of
	// sqlaudit.Journal, called with Staged in the transaction that inserts the row, ties
	// the file to the row: both exist, or neither. If Save returns an error, the files are removed
	// again, so it must not return one after its transaction was committed. An error
	// that wraps blobstore.ErrInDoubt leaves the files to blobstore.Store.Reconcile,
	// which keeps those whose CommitTx was committed. So does a panic.
	//
	// Staged is nil if the file is stored and recorded already, as by Direct and
	// package tus. An error of Save then leaves the file, and Save is called again when
	// the client asks again, so it must accept a row that already exists.
	Staged *blobstore.Staged
}

// need panics without a store, when a handler is made.
func (in *Intake) need(handler string) {
	if in == nil || in.Store == nil {
		panic("blobhttp: " + handler + " needs an Intake with a Store")
	}
}

// admit refuses requests that no upload handler takes.
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

// needUser refuses a request without a user. A request without any actor is left
// to the store, which may have a default.
func needUser(ctx context.Context, anonymous bool) error {
	if a, ok := audit.ActorFrom(ctx); ok && a.UserID == "" && !anonymous {
		return errUnauthenticated
	}
	return nil
}

// NewFile completes an announced file: it removes the folders from the name, sets
// the key and the limits, asks Prepare, and refuses an announced size above
// the limit. Handlers of other protocols, such
// as package tus, call it for each file.
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
		return nil, errors.New("blobhttp: Prepare set File.Options.Overwrite or Link: an Intake never overwrites, and has its own Link")
	}
	return f, nil
}

// baseName takes the folders off the name of a file. Some clients send the whole
// path, with the separators of Windows or of Unix.
func baseName(name string) string {
	return name[strings.LastIndexAny(name, `/\`)+1:]
}
