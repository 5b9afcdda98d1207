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
	// Config is the configuration. If it is nil, [config.Load] reads it from
	// the environment.
	Config *config.Config

	// Store has the options of the store, such as Authorize. Zero values of
	// Signer, MaxSize and LinkExpiry are replaced by those of the Config. If
	// Grants is nil, the grants of the journal are used.
	Store *blobstore.Options

	// Journal has the options of the trail. Zero values of DeploymentKey,
	// TrustedKeys and Publish are replaced by those of the Config.
	Journal *sqlaudit.Options

	// Logger logs the start, the results and errors of the reconcile loop, and
	// settings that are suitable only for development. It is also the default
	// of Journal.Logger. The default is slog.Default().
	Logger *slog.Logger

	// ReconcileEvery is the interval between runs of
	// [blobstore.Store.Reconcile]. The first run happens at the start. 0 means
	// one minute. A negative value disables the runs; the application must then
	// call Reconcile itself.
	ReconcileEvery time.Duration
}

// App is a store with its trail. Its fields are safe for concurrent use. Close
// closes them.
type App struct {
	Store   *blobstore.Store
	Journal *sqlaudit.Journal

	verifierKeys  []string
	checkpoints   driver.Bucket // nil if the Config has none
	stopReconcile func(context.Context) error
}

// Open opens the store, the journal and the signer of links described by the
// Config. It also starts a loop that settles the leftovers of killed processes,
// at the start and every minute. If Open returns an error, nothing remains
// open.
//
// The program must import the storage provider and the SQL driver. If one is
// missing, the error names the import. If settings are invalid, the error joins
// a [*config.Problem] for each.
//
// If LINK_SIGNING_KEYS is not set, Open generates a key and logs a warning.
// Other processes do not know this key, so its links become invalid when the
// process ends. In production and staging, Open returns a Problem instead. Both
// rules apply to every backend, because the program's own handler serves the
// links that can be revoked, counted or bound to a user.
//
// Open logs one line with the effective store and trail. The line is a warning
// if the environment has variables similar to those of package config. In
// production and staging, Open also warns about local files, once per process.
//
// ctx only limits the time to open.
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

// Verify checks the trail with the verifier keys and the published checkpoints
// of the Config. Nonzero fields of opts take precedence. If opts is nil, Verify
// checks the whole trail.
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

// Close stops the reconcile loop, waits for running operations, and closes the
// store and then the journal, even if one of them fails. If ctx ends, Close
// stops waiting. The remaining operations can then no longer be recorded, and
// the next process reconciles them. A second Close returns an error.
func (a *App) Close(ctx context.Context) error {
	return errors.Join(a.stopReconcile(ctx), a.Store.Close(ctx), a.Journal.Close(ctx), a.closeCheckpoints())
}

func (a *App) closeCheckpoints() error {
	if a.checkpoints == nil {
		return nil
	}
	return a.checkpoints.Close()
}

// chooseSigner returns the program's signer, or a new one with the configured
// keys or a generated key.
func chooseSigner(ctx context.Context, cfg config.Config, o *Options) (*signurl.Signer, error) {
	if o.Store != nil && o.Store.Signer != nil {
		return o.Store.Signer, nil
	}
	if cfg.LinkSigningKeys.IsZero() {
		o.Logger.WarnContext(ctx, "LINK_SIGNING_KEYS is not set: signing links with a generated key; they become invalid when this process ends")
		return signurl.New(cfg.LinkBaseURL, []signurl.Key{signurl.GenerateKey()}, nil)
	}
	keys, err := signurl.ParseKeys(cfg.LinkSigningKeys.Reveal())
	if err != nil {
		return nil, fmt.Errorf("LINK_SIGNING_KEYS: %w", err)
	}
	return signurl.New(cfg.LinkBaseURL, keys, nil)
}

// openCheckpoints opens the bucket of AUDIT_CHECKPOINTS_URL, unless the program
// has set another bucket to publish to.
func openCheckpoints(ctx context.Context, cfg config.Config, location string, o *sqlaudit.Options) (driver.Bucket, error) {
	if cfg.AuditCheckpointsURL == "" || o != nil && o.Publish != nil {
		return nil, nil //nolint:nilnil // nil means no bucket: see App.checkpoints
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

// credentialsOf returns the credentials for the storage at location, and the
// variable that contains them. If they are zero, the provider uses its default
// credentials.
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

// openedBy wraps an error of opening a bucket. It adds the variable of the
// location and, if from is not empty, the variable of the credentials.
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

// storageVariable returns the name of the variable that selects the storage.
func storageVariable(cfg config.Config) string {
	if cfg.URL.IsZero() {
		return "STORAGE_BACKEND"
	}
	return "STORAGE_URL"
}

func splitKeys(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

var warned sync.Map // local folders with a logged warning

func warnLocal(ctx context.Context, cfg config.Config, location string, log *slog.Logger) {
	if scheme := schemeOf(location); !cfg.Production() || scheme != "local" && scheme != "file" {
		return
	}
	if _, done := warned.LoadOrStore(location, true); !done {
		log.WarnContext(ctx, "local storage in production: files are neither replicated nor shared between machines",
			slog.String("APP_ENV", cfg.AppEnv), slog.String("store", shownURL(location)))
	}
}

// logStart logs the location of the files and the trail, without secrets.
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

// shownURL returns a URL without its user, query and fragment, which may
// contain secrets.
func shownURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		return "[redacted]"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// shownDatabase returns a data source name without its user, password and
// parameters.
func shownDatabase(dsn string) string {
	scheme, rest, _ := strings.Cut(dsn, ":")
	// A password may contain any character, so the host begins after the last
	// @.
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
