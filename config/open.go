package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/signurl"
)

// Options are what [Open] takes from the program rather than from the
// environment. Nil and zero values are the defaults.
type Options struct {
	// Store are the store's options, such as Authorize. Its fields Signer,
	// MaxSize and LinkExpiry come from the Config where they are zero, and
	// Grants are the journal's.
	Store *blobstore.Options
	// Journal are the options of the trail. DeploymentKey and Publish come from
	// the Config where they are not set.
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
	// serves, for blobhttp.Links. It is never nil, on any backend.
	Signer *signurl.Signer
	// Config is what it was opened with.
	Config Config

	checkpoints driver.Bucket // nil: none are published
}

// Open checks the Config and opens what it describes. The program must import
// the storage provider and the SQL driver; a missing one is an error that names
// the line to add. On an error nothing stays open.
//
// Without LINK_SIGNING_KEYS, the links of the program's own handler are signed
// with a key that was made up, with a warning: other processes don't know it, and
// links end with this one. In production and staging that is a [Problem]. Both
// hold on every backend: one that signs links itself signs none that can be
// revoked, counted or bound to a user. Local files in production or staging are
// worth one warning in each process, or in strict mode a Problem.
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
	if app.checkpoints, err = openCheckpoints(ctx, cfg, o.Journal); err != nil {
		return nil, err
	}
	if app.Journal, err = openJournal(ctx, cfg, app, &o); err != nil {
		return nil, errors.Join(err, app.closeCheckpoints())
	}
	if app.Store, err = openStore(ctx, cfg, app, o.Store); err != nil {
		return nil, errors.Join(err, app.Journal.Close(context.WithoutCancel(ctx)), app.closeCheckpoints())
	}
	return app, nil
}

// VerifyOptions are those with which the trail is held against the deployment's
// keys and the published checkpoints.
func (a *App) VerifyOptions() *sqlaudit.VerifyOptions {
	o := &sqlaudit.VerifyOptions{Keys: a.Config.verifierKeys()}
	if a.checkpoints != nil {
		o.Bucket = a.checkpoints.Blob()
	}
	return o
}

// Close waits for the running operations, closes the store and then the journal,
// both even if one fails. When ctx ends, it stops waiting: operations that still
// run can no longer be recorded, and are left to the next process's Reconcile. A
// second Close is an error.
func (a *App) Close(ctx context.Context) error {
	return errors.Join(a.Store.Close(ctx), a.Journal.Close(ctx), a.closeCheckpoints())
}

func (a *App) closeCheckpoints() error {
	if a.checkpoints == nil {
		return nil
	}
	return a.checkpoints.Close()
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

// newSigner signs with the configured keys, or with a new one.
func newSigner(ctx context.Context, cfg Config, log *slog.Logger) (*signurl.Signer, error) {
	if cfg.LinkSigningKeys.IsZero() {
		log.WarnContext(ctx, "config: LINK_SIGNING_KEYS is not set: links are signed with a key that was made up and end with this process")
		return signurl.New(cfg.LinkBaseURL, []signurl.Key{signurl.GenerateKey()}, nil)
	}
	keys, err := signurl.ParseKeys(cfg.LinkSigningKeys.Reveal())
	if err != nil {
		return nil, fmt.Errorf("LINK_SIGNING_KEYS: %w", err)
	}
	return signurl.New(cfg.LinkBaseURL, keys, nil)
}

// openCheckpoints opens the bucket that is published to, unless the program
// publishes to one of its own.
func openCheckpoints(ctx context.Context, cfg Config, o *sqlaudit.Options) (driver.Bucket, error) {
	if cfg.AuditCheckpointsURL == "" || o != nil && o.Publish != nil {
		return nil, nil //nolint:nilnil // no bucket is an answer, and documented at App.checkpoints
	}
	scheme, _, _ := strings.Cut(cfg.AuditCheckpointsURL, "://")
	if credentials, _ := cfg.credentials(); credentials != nil && schemes[scheme] == cfg.backend() {
		ctx = driver.WithCredentials(ctx, credentials)
	}
	b, err := driver.Open(ctx, cfg.AuditCheckpointsURL)
	if err != nil {
		return nil, fmt.Errorf("AUDIT_CHECKPOINTS_URL: %w", err)
	}
	return b, nil
}

// openJournal takes the trail's database and its keys from the Config.
func openJournal(ctx context.Context, cfg Config, app *App, o *Options) (*sqlaudit.Journal, error) {
	var opts sqlaudit.Options
	if o.Journal != nil {
		opts = *o.Journal
	}
	if opts.Logger == nil {
		opts.Logger = o.Logger
	}
	if opts.DeploymentKey.IsZero() {
		opts.DeploymentKey = cfg.AuditDeploymentKey
	}
	if app.checkpoints != nil {
		opts.Publish = &sqlaudit.PublishOptions{Bucket: app.checkpoints.Blob()}
	}
	if len(opts.TrustedKeys) == 0 && !opts.DeploymentKey.IsZero() {
		opts.TrustedKeys = cfg.verifierKeys()
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
	if o.Grants == nil {
		o.Grants = app.Journal.Grants()
	}
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
	credentials, from := cfg.credentials()
	if credentials != nil {
		ctx = driver.WithCredentials(ctx, credentials)
	}
	store, err := blobstore.Open(ctx, u, app.Journal, &o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.storageVariable(), err)
	}
	// To go on with others than those of the Config would be a surprise.
	if credentials != nil && !credentials.Taken() {
		return nil, errors.Join(fmt.Errorf("%s: the provider takes its credentials from its service's own environment only: unset the variable", from), store.Close(ctx))
	}
	return store, nil
}

// storageVariable names what decided where the files are.
func (c Config) storageVariable() string {
	if !c.URL.IsZero() {
		return "STORAGE_URL"
	}
	return "STORAGE_BACKEND"
}

// credentials returns those of the backend in effect, with the variable that
// holds them; nil if the provider is to find its own.
func (c Config) credentials() (*driver.Credentials, string) {
	switch b := c.backend(); {
	case b == BackendS3 && !c.S3.AccessKey.IsZero():
		return &driver.Credentials{AccessKey: c.S3.AccessKey, SecretKey: c.S3.SecretKey}, "S3_ACCESS_KEY"
	case b == BackendAzure && !c.Azure.ConnectionString.IsZero():
		return &driver.Credentials{ConnectionString: c.Azure.ConnectionString}, "AZURE_STORAGE_CONNECTION_STRING"
	case b == BackendGCS && c.GCS.CredentialsPath != "":
		return &driver.Credentials{KeyFile: c.GCS.CredentialsPath}, "GCS_CREDENTIALS_PATH"
	}
	return nil, ""
}
