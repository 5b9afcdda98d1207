package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// Options are what [Open] takes from the program rather than from the
// environment. Nil and zero values are the defaults.
type Options struct {
	// Store are the store's options, such as Authorize. Its fields Signer,
	// MaxSize and LinkExpiry come from the Config where they are zero.
	Store *blobstore.Options
	// Journal are the options of the trail.
	Journal *sqlaudit.Options
	// Logger is told what is fit for development only, and is the default of
	// Journal.Logger. Default: slog.Default().
	Logger *slog.Logger
}

// App is what a program needs to keep files. Its fields may be used concurrently
// and are closed by Close.
type App struct {
	Store   *blobstore.Store
	Journal *sqlaudit.Journal
	// Signer signs and verifies the links that the program's own handler
	// honours. It is nil if the backend signs its links itself and
	// LINK_SIGNING_KEYS is not set.
	Signer *signurl.Signer
	// Config is what it was opened with.
	Config Config
}

// Open checks the Config and opens what it describes. The program must import
// the storage provider and the SQL driver; a missing one is an error that names
// the line to add. On an error nothing stays open.
//
// Without LINK_SIGNING_KEYS, a backend that cannot sign links gets a key that
// was made up, with a warning: other processes don't know it, and links end with
// this one. In production and staging that is a [Problem]. Local files in
// production or staging are worth one warning in each process, or in strict mode
// a Problem.
//
// ctx bounds the opening only.
func Open(ctx context.Context, cfg Config, opts *Options) (*App, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	warnLocal(ctx, cfg, o.Logger)
	app := &App{Config: cfg}
	var err error
	if o.Store != nil && o.Store.Signer != nil {
		app.Signer = o.Store.Signer
	} else if app.Signer, err = newSigner(ctx, cfg, o.Logger); err != nil {
		return nil, err
	}
	if app.Journal, err = openJournal(ctx, cfg, &o); err != nil {
		return nil, err
	}
	if app.Store, err = openStore(ctx, cfg, app, o.Store); err != nil {
		return nil, errors.Join(err, app.Journal.Close(context.WithoutCancel(ctx)))
	}
	return app, nil
}

// Close waits for the running operations, closes the store and then the journal,
// both even if one fails. When ctx ends, it stops waiting: operations that still
// run can no longer be recorded, and are left to the next process's Reconcile. A
// second Close is an error.
func (a *App) Close(ctx context.Context) error {
	closed := make(chan error, 1)
	go func() { closed <- a.Store.Close() }()
	var err error
	select {
	case err = <-closed:
	case <-ctx.Done():
		select {
		case err = <-closed:
		case <-time.After(time.Second): // for a store that is idle
			err = fmt.Errorf("closing the store: operations still run: %w", ctx.Err())
		}
	}
	return errors.Join(err, a.Journal.Close(ctx))
}

var warned sync.Map // folders that were warned about

func warnLocal(ctx context.Context, cfg Config, log *slog.Logger) {
	if !cfg.Production() || cfg.backend() != BackendLocal {
		return
	}
	u, err := cfg.StorageURL()
	if err != nil {
		return
	}
	if _, done := warned.LoadOrStore(u, true); !done {
		log.WarnContext(ctx, "config: local files in production are neither shared between machines nor replicated",
			slog.String("APP_ENV", cfg.AppEnv), slog.String("STORAGE_BACKEND", BackendLocal))
	}
}

// newSigner returns nil if there is neither a key nor a need.
func newSigner(ctx context.Context, cfg Config, log *slog.Logger) (*signurl.Signer, error) {
	var keys []signurl.Key
	switch {
	case cfg.LinkSigningKeys.IsSet():
		var err error
		if keys, err = signurl.ParseKeys(cfg.LinkSigningKeys.Reveal()); err != nil {
			return nil, fmt.Errorf("LINK_SIGNING_KEYS: %w", err)
		}
	case cfg.needsSigner():
		keys = []signurl.Key{signurl.NewKey()}
		log.WarnContext(ctx, "config: LINK_SIGNING_KEYS is not set: links are signed with a key that was made up and end with this process")
	default:
		return nil, nil //nolint:nilnil // no signer is an answer, and documented at App.Signer
	}
	return signurl.New(cfg.LinkBaseURL, keys, nil)
}

// openJournal takes the trail's database from the Config.
func openJournal(ctx context.Context, cfg Config, o *Options) (*sqlaudit.Journal, error) {
	var opts sqlaudit.Options
	if o.Journal != nil {
		opts = *o.Journal
	}
	if opts.Logger == nil {
		opts.Logger = o.Logger
	}
	journal, err := sqlaudit.Open(ctx, cfg.AuditDatabaseURL.Reveal(), &opts)
	if err != nil {
		return nil, fmt.Errorf("AUDIT_DATABASE_URL: %w", err)
	}
	return journal, nil
}

func openStore(ctx context.Context, cfg Config, app *App, opts *blobstore.Options) (*blobstore.Store, error) {
	var o blobstore.Options
	if opts != nil {
		o = *opts
	}
	o.Signer = app.Signer
	if o.MaxSize == 0 {
		o.MaxSize = cfg.MaxUploadBytes
	}
	if o.LinkExpiry == 0 {
		o.LinkExpiry = cfg.LinkExpiry
	}
	u, err := cfg.StorageURL()
	if err != nil {
		return nil, err
	}
	store, err := blobstore.Open(ctx, u, app.Journal, &o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.storageVariable(), err)
	}
	// The provider has found its credentials itself. To go on with others than
	// those of the Config would be a surprise.
	if name := cfg.foreignCredentials(os.Getenv); name != "" {
		return nil, errors.Join(fmt.Errorf("%s: the provider takes its credentials from its service's own environment only: unset the variable", name), store.Close())
	}
	return store, nil
}

// storageVariable names what decided where the files are.
func (c Config) storageVariable() string {
	if c.URL.IsSet() {
		return "STORAGE_URL"
	}
	return "STORAGE_BACKEND"
}

// foreignCredentials names the variable that holds credentials for the backend
// in effect, if its provider has not found the same ones by itself.
func (c Config) foreignCredentials(getenv func(string) string) string {
	switch b := c.backend(); {
	case b == BackendS3 && c.S3.AccessKey.IsSet():
		return "S3_ACCESS_KEY"
	case b == BackendAzure && c.Azure.ConnectionString.IsSet():
		// Its provider reads the same variable, unless one of these is set.
		const name = "AZURE_STORAGE_CONNECTION_STRING"
		others := getenv("AZURE_STORAGE_ACCOUNT") + getenv("AZURE_STORAGE_KEY") + getenv("AZURE_STORAGE_SAS_TOKEN")
		if others != "" || getenv(name) != c.Azure.ConnectionString.Reveal() {
			return name
		}
	case b == BackendGCS && c.URL.IsSet() && c.GCS.CredentialsPath != "":
		return "GCS_CREDENTIALS_PATH" // in a made URL it is a parameter
	}
	return ""
}
