package rules

import (
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/blobtrail/blobtrail"
	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/azurestore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
	"github.com/blobtrail/blobtrail/blobstore/gcsstore"
	"github.com/blobtrail/blobtrail/blobstore/s3store"
	"github.com/blobtrail/blobtrail/config"
	"github.com/blobtrail/blobtrail/internal/secrettest"
	"github.com/blobtrail/blobtrail/secret"
	"github.com/blobtrail/blobtrail/signurl"
)

// Each public value with a secret is passed to all printers and encoders,
// directly and in exported and unexported fields of other structs.
func TestNoValuePrintsItsSecret(t *testing.T) {
	const canary = "canary-canary-7f3a9c21"
	text := secret.New(canary)
	secrettest.HoldsDeep(t, text, canary)
	secrettest.HoldsDeep(t, secret.New("postgres://app:"+canary+"@db/files"), canary)
	secrettest.HoldsDeep(t, s3store.Options{Bucket: "b", AccessKey: text, SecretKey: text, SessionToken: text}, canary)
	secrettest.HoldsDeep(t, azurestore.Options{Container: "c", ConnectionString: text, Key: text, SASToken: text}, canary)
	secrettest.HoldsDeep(t, gcsstore.Options{Bucket: "b", CredentialsJSON: text}, canary)
	secrettest.HoldsDeep(t, &driver.Credentials{AccessKey: text, SecretKey: text, ConnectionString: text}, canary)
	secrettest.HoldsDeep(t, sqlaudit.Options{DeploymentKey: text}, canary)
	secrettest.HoldsDeep(t, config.Config{
		URL: text, S3: config.S3{AccessKey: text, SecretKey: text}, Azure: config.Azure{ConnectionString: text},
		LinkSigningKeys: text, AuditDatabaseURL: text, AuditDeploymentKey: text,
	}, canary)
}

// An App refers to every secret: the deployment key, the signing keys, and the
// links it signs.
func TestNoOpenedValuePrintsItsSecret(t *testing.T) {
	signing, verifying, err := sqlaudit.GenerateDeploymentKey("acme.example/files")
	require.NoError(t, err)
	key := signurl.GenerateKey()
	encoded, private := key.Encode(), signing.Reveal()
	keys := []string{private[len(private)-20:], encoded[len(encoded)-20:]}
	secrettest.HoldsDeep(t, key, keys[1])
	signer, err := signurl.New("https://files.example.com/links/", []signurl.Key{key}, nil)
	require.NoError(t, err)
	secrettest.HoldsDeep(t, signer, keys[1])

	dir := filepath.ToSlash(t.TempDir())
	cfg, err := config.LoadFrom(map[string]string{
		"LOCAL_STORAGE_PATH": dir + "/files", "AUDIT_DATABASE_URL": "sqlite:" + dir + "/trail.db", "LINK_SIGNING_KEYS": encoded,
		"AUDIT_DEPLOYMENT_KEY": private, "AUDIT_VERIFIER_KEYS": verifying, "AUDIT_CHECKPOINTS_URL": "local://" + dir + "/checkpoints?create=true",
	})
	require.NoError(t, err)
	opts := blobtrail.Options{
		Config: &cfg, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), ReconcileEvery: -1,
		Store: &blobstore.Options{Signer: signer}, Journal: &sqlaudit.Options{DeploymentKey: signing},
	}
	app, err := blobtrail.Open(t.Context(), &opts)
	require.NoError(t, err)
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
	obj, err := app.Store.Upload(ctx, "a", strings.NewReader("hello"), &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
	require.NoError(t, err)
	ticket, err := app.Store.BeginUpload(ctx, "b", time.Minute, nil)
	require.NoError(t, err)
	require.NoError(t, app.Close(t.Context()), "since printing reads what they write")

	secrettest.HoldsDeep(t, *obj.Link, signatureOf(t, obj.Link))
	secrettest.HoldsDeep(t, *obj, signatureOf(t, obj.Link))
	secrettest.HoldsDeep(t, *ticket.Link, signatureOf(t, ticket.Link))
	secrettest.Holds(t, ticket, signatureOf(t, ticket.Link))
	secrettest.Holds(t, app, keys...)
	secrettest.Holds(t, *app, keys...)
	secrettest.Holds(t, app.Store, keys...)
	secrettest.Holds(t, app.Journal, keys...)
	secrettest.Holds(t, opts, keys...)
}

func signatureOf(t *testing.T, link *blobstore.Link) string {
	t.Helper()
	u, err := url.Parse(link.URL())
	require.NoError(t, err)
	signature := u.Query().Get("bt-sig")
	require.NotEmpty(t, signature)
	return signature
}
