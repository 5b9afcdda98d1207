package blobtrail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/signurl"
)

// Options configure [Open]. Nil and zero values mean the defaults.
type Options struct {
	// Config is the configuration. Nil: [config.Load] reads it from the
	// environment.
	Config *config.Config

	// Store are the options of the store, such as Authorize. Signer, MaxSize and
	// LinkExpiry come from the Config where they are zero. Grants, where nil, are
	// those of the journal.
	Store *blobstore.Options

	// Journal are the options of the trail. DeploymentKey, TrustedKeys and Publish
	// come from the Config where they are zero.
	Journal *sqlaudit.Options

	// Logger logs the start, the results and errors of the reconcile loop, and
	// settings that are fit for development only. It is also the default of
	// Journal.Logger. Default: slog.Default().
	Logger *slog.Logger

	// ReconcileEvery is the time between two runs of [blobstore.Store.Reconcile].
	// The first run is at the start. 0: a minute. Negative: never; the application
	// then has to call Reconcile.
	ReconcileEvery time.Duration
}

// App is the store with its trail. Its fields may be used concurrently. Close
// closes them.
type App struct {
	Store   *blobstore.Store
	Journal *sqlaudit.Journal

	verifierKeys  []string
	checkpoints   driver.Bucket // nil: the Config names none
	stopReconcile func(context.Context) error
}

// Open opens the store, the journal and the signer of links that the Config
// describes, and settles the leftovers of killed processes at the start and every
// minute. On an error nothing stays open.
//
// The program must import the storage provider and the SQL driver. If one is
// missing, the error names the import. If settings are wrong, the error joins a
// [*config.Problem] for each.
//
// Without LINK_SIGNING_KEYS, Open generates a key and logs a warning: other
// processes do not know the key, and links end with this process. In production
// and staging that is a Problem. Both hold on every backend, because the handler
// of the program serves the links that can be revoked, counted or bound to a user.
//
// Open logs one line with the effective store and trail. The line is a warning if
// the environment has variables that resemble those of package config. Local files
// in production or staging are worth another warning, once in each process.
//
// ctx bounds the opening only.
func Open(ctx context.Context, opts *Options) (*App, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	cfg, err := load(o.Config)
	if err != nil {
		return nil, err
	}
	location, err := cfg.StorageURL()
	if err != nil {
		return nil, err
	}
	warnLocal(ctx, cfg, location, o.Logger)
	signer, err := chooseSigner(ctx, cfg, &o)
	if err != nil {
		return nil, err
	}
	app := &App{verifierKeys: splitKeys(cfg.AuditVerifierKeys)}
	if app.checkpoints, err = openCheckpoints(ctx, cfg, location, o.Journal); err != nil {
		return nil, err
	}
	if app.Journal, err = openJournal(ctx, cfg, app, &o); err != nil {
		return nil, errors.Join(err, app.closeCheckpoints())
	}
	if app.Store, err = openStore(ctx, cfg, location, app.Journal, signer, o.Store); err != nil {
		return nil, errors.Join(err, app.Journal.Close(context.WithoutCancel(ctx)), app.closeCheckpoints())
	}
	logStart(ctx, cfg, location, o.Logger)
	app.stopReconcile = reconcile(ctx, app.Store, o.ReconcileEvery, o.Logger)
	return app, nil
}

func load(given *config.Config) (config.Config, error) {
	if given == nil {
		return config.Load()
	}
	return *given, given.Validate()
}

// Verify checks the trail against the verifier keys and the published checkpoints
// of the Config. Fields of opts that are not zero come first; nil checks all that
// there is.
func (a *App) Verify(ctx context.Context, opts *sqlaudit.VerifyOptions) (*proof.Report, error) {
	var o sqlaudit.VerifyOptions
	if opts != nil {
		o = *opts
	}
	if len(o.Keys) == 0 {
		o.Keys = a.verifierKeys
	}
	if o.Published.Bucket == nil && a.checkpoints != nil {
		o.Published.Bucket = a.checkpoints.Blob()
	}
	return a.Journal.Verify(ctx, &o)
}

// Close ends the reconcile loop, waits for the running operations, and closes the
// store and then the journal, both even if one fails. When ctx ends, Close stops
// waiting: operations that still run can no longer be recorded, and the next
// process reconciles them. A second Close is an error.
func (a *App) Close(ctx context.Context) error {
	return errors.Join(a.stopReconcile(ctx), a.Store.Close(ctx), a.Journal.Close(ctx), a.closeCheckpoints())
}

func (a *App) closeCheckpoints() error {
	if a.checkpoints == nil {
		return nil
	}
	return a.checkpoints.Close()
}

// chooseSigner returns the signer of the program, or one with the configured keys
// or a generated key.
func chooseSigner(ctx context.Context, cfg config.Config, o *Options) (*signurl.Signer, error) {
	if o.Store != nil && o.Store.Signer != nil {
		return o.Store.Signer, nil
	}
	if cfg.LinkSigningKeys.IsZero() {
		o.Logger.WarnContext(ctx, "LINK_SIGNING_KEYS is not set: links are signed with a generated key and end with this process")
		return signurl.New(cfg.LinkBaseURL, []signurl.Key{signurl.GenerateKey()}, nil)
	}
	keys, err := signurl.ParseKeys(cfg.LinkSigningKeys.Reveal())
	if err != nil {
		return nil, fmt.Errorf("LINK_SIGNING_KEYS: %w", err)
	}
	return signurl.New(cfg.LinkBaseURL, keys, nil)
}

// openCheckpoints opens the bucket of AUDIT_CHECKPOINTS_URL, unless the program
// publishes to a bucket of its own.
func openCheckpoints(ctx context.Context, cfg config.Config, location string, o *sqlaudit.Options) (driver.Bucket, error) {
	if cfg.AuditCheckpointsURL == "" || o != nil && o.Publish != nil {
		return nil, nil //nolint:nilnil // no bucket is a valid result: see App.checkpoints
	}
	var (
		credentials driver.Credentials
		from        string
	)
	if schemeOf(cfg.AuditCheckpointsURL) == schemeOf(location) {
		credentials, from = credentialsOf(cfg, location)
	}
	b, err := driver.Open(ctx, cfg.AuditCheckpointsURL, credentials)
	if err != nil {
		return nil, openedBy("AUDIT_CHECKPOINTS_URL", from, err)
	}
	return b, nil
}

func openJournal(ctx context.Context, cfg config.Config, app *App, o *Options) (*sqlaudit.Journal, error) {
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
		opts.Publish = &sqlaudit.PublishOptions{To: sqlaudit.Checkpoints{Bucket: app.checkpoints.Blob()}}
	}
	if len(opts.TrustedKeys) == 0 && !opts.DeploymentKey.IsZero() {
		opts.TrustedKeys = app.verifierKeys
	}
	journal, err := sqlaudit.Open(ctx, cfg.AuditDatabaseURL.Reveal(), &opts)
	if err != nil {
		return nil, fmt.Errorf("AUDIT_DATABASE_URL: %w", err)
	}
	return journal, nil
}

func openStore(ctx context.Context, cfg config.Config, location string, journal *sqlaudit.Journal, signer *signurl.Signer, opts *blobstore.Options) (*blobstore.Store, error) {
	var o blobstore.Options
	if opts != nil {
		o = *opts
	}
	o.Signer = signer
	if o.Grants == nil {
		o.Grants = journal.Grants()
	}
	if o.MaxSize == 0 {
		o.MaxSize = cfg.MaxUploadSize
	}
	if o.LinkExpiry == 0 {
		o.LinkExpiry = cfg.LinkExpiry
	}
	credentials, from := credentialsOf(cfg, location)
	if from != "" {
		o.Credentials = credentials
	}
	store, err := blobstore.Open(ctx, location, journal, &o)
	if err != nil {
		return nil, openedBy(storageVariable(cfg), from, err)
	}
	return store, nil
}

// credentialsOf returns the credentials for the storage at location, with the
// variable that holds them. The provider finds others if they are zero.
func credentialsOf(cfg config.Config, location string) (c driver.Credentials, from string) {
	switch scheme := schemeOf(location); {
	case scheme == "s3" && !cfg.S3.AccessKey.IsZero():
		return driver.Credentials{AccessKey: cfg.S3.AccessKey, SecretKey: cfg.S3.SecretKey}, "S3_ACCESS_KEY"
	case scheme == "azblob" && !cfg.Azure.ConnectionString.IsZero():
		return driver.Credentials{ConnectionString: cfg.Azure.ConnectionString}, "AZURE_STORAGE_CONNECTION_STRING"
	case scheme == "gs" && cfg.GCS.CredentialsFile != "":
		return driver.Credentials{CredentialsFile: cfg.GCS.CredentialsFile}, "GCS_CREDENTIALS_PATH"
	}
	return driver.Credentials{}, ""
}

// openedBy wraps the error of opening a bucket with the variables that said where it
// is and, if from is not empty, with which credentials.
func openedBy(variable, from string, err error) error {
	if from != "" {
		variable += ", with the credentials of " + from
	}
	return fmt.Errorf("%s: %w", variable, err)
}

func schemeOf(location string) string {
	scheme, _, _ := strings.Cut(location, ":")
	return scheme
}

// storageVariable names the variable that decides where the files are.
func storageVariable(cfg config.Config) string {
	if cfg.URL.IsZero() {
		return "STORAGE_BACKEND"
	}
	return "STORAGE_URL"
}

func splitKeys(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

var warned sync.Map // the local folders of earlier warnings

func warnLocal(ctx context.Context, cfg config.Config, location string, log *slog.Logger) {
	if scheme := schemeOf(location); !cfg.Production() || scheme != "local" && scheme != "file" {
		return
	}
	if _, done := warned.LoadOrStore(location, true); !done {
		log.WarnContext(ctx, "local files in production are neither shared between machines nor replicated",
			slog.String("APP_ENV", cfg.AppEnv), slog.String("store", shownURL(location)))
	}
}

// logStart shows where the files and the trail are, without secrets.
func logStart(ctx context.Context, cfg config.Config, location string, log *slog.Logger) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("store", shownURL(location)), slog.String("trail", shownDatabase(cfg.AuditDatabaseURL.Reveal())),
		slog.String("links", cfg.LinkBaseURL),
	}
	if cfg.AuditCheckpointsURL != "" {
		attrs = append(attrs, slog.String("checkpoints", shownURL(cfg.AuditCheckpointsURL)))
	}
	if len(cfg.Unknown) > 0 {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("unknown_variables", cfg.Unknown))
	}
	log.LogAttrs(ctx, level, "opened store and trail", attrs...)
}

// shownURL is a URL without its user, query and fragment, which may hold secrets.
func shownURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		return "[redacted]"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// shownDatabase is a data source name without its user, password and parameters.
func shownDatabase(dsn string) string {
	scheme, rest, _ := strings.Cut(dsn, ":")
	// A password may contain any character, so the rest begins after the last @.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		slashes := ""
		if strings.HasPrefix(rest, "//") {
			slashes = "//"
		}
		rest = slashes + rest[at+1:]
	}
	rest, _, _ = strings.Cut(rest, "?")
	return scheme + ":" + rest
}
