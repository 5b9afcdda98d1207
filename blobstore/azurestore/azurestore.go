// Package azurestore is the provider of Azure Blob Storage.
//
//	azblob://container
//	azblob://container?storage_account=myaccount&create=true
//
// It takes the URLs of the Go CDK's azureblob, with these parameters:
// storage_account, domain, protocol, cdn and localemu, and these of its own:
//
//	create=true        make the container if it is missing
//	account_url        the address of the account, such as https://myaccount.blob.core.windows.net
//	public_endpoint    the address of the account for links, if clients reach it by another
//	stall_timeout      how long a connection may stand still, such as 30s; 1m by default
//
// Credentials come from the environment, which is read each time that a bucket
// is opened, in this order: AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY;
// AZURE_STORAGE_SAS_TOKEN; AZURE_STORAGE_CONNECTION_STRING; else the default
// chain of Azure (environment, workload or managed identity, command line), for
// which the account must be named. [Open] takes explicit ones.
//
// # What is needed
//
// The role Storage Blob Data Contributor, or an account key. Links without an
// account key are signed with a user-delegation key, for which the role Storage
// Blob Delegator on the account is needed too. A SAS token can't sign links.
//
// # Encryption
//
// Azure encrypts everything that it stores; nothing has to be asked for.
//
// # Writes
//
// Content up to 4 MiB is one request; the rest is sent in blocks, one after the
// other, and appears when their list is committed, together with its metadata,
// so that the SHA-256 is kept with every object. One write holds at most 4 MiB,
// and 8 MiB for objects beyond 195 GiB, of which there can be 390 GiB. Blocks of
// a write that failed are invisible, and discarded by the service within a week.
//
// Of two uploads to the same key at once, the one that finishes first discards
// the blocks of the other, which then fails even if it may overwrite.
//
// # Links
//
// A SAS link holds one method, one key and an expiry, and by the permission to
// create but not to write it holds create-only. It can't hold the content type,
// the length or the SHA-256: those a direct upload checks on completion, and a
// plain link with them is refused. There are no HEAD
// links, because what allows HEAD allows GET. A PUT link that may overwrite also
// allows to change the object's properties and metadata. The client must send
// the headers of the link, of which x-ms-blob-type is required by the service.
// The grant id is the correlation id (scid) of a link that is signed with a
// user-delegation key; one signed with an account key has no room for it.
//
// The link of a ticket lets its client set metadata, headers and the tier, take a
// lease, and send page and append blobs. None of that reaches the object: its
// headers are cleared before the service copies the content, leases on received
// bytes are broken, and only block blobs in an online tier are accepted. Where the
// client named a tier, the object is in the tier Hot.
//
// Import it for its side effect:
//
//	import _ "github.com/blobtrail/blobtrail/blobstore/azurestore"
package azurestore

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/secret"
)

const scheme = "azblob"

func init() {
	driver.Register(scheme, func(ctx context.Context, u *url.URL, c driver.Credentials) (driver.Bucket, error) {
		env := os.Getenv
		if !c.IsZero() { // in place of all that the environment says of the account
			env = func(string) string { return "" }
		}
		o, err := parse(u, env)
		if err != nil {
			return nil, fmt.Errorf("azblob://%s: %w", u.Host, err)
		}
		if !c.IsZero() {
			o.ConnectionString = c.ConnectionString
		}
		return Open(ctx, o)
	}, "ConnectionString")
}

// parse returns the options that a URL and the environment stand for.
func parse(u *url.URL, env func(string) string) (*Options, error) {
	if err := provider.CheckURL(u, "azblob://container", "the environment or by azurestore.Open"); err != nil {
		return nil, err
	}
	o := &Options{
		Container: u.Host, Account: env("AZURE_STORAGE_ACCOUNT"), Key: secret.New(env("AZURE_STORAGE_KEY")), SASToken: secret.New(env("AZURE_STORAGE_SAS_TOKEN")),
	}
	// The environment may have all of them: the key counts, then the token.
	switch connection := cmp.Or(env("AZURE_STORAGE_CONNECTION_STRING"), env("AZURE_STORAGEBLOB_CONNECTIONSTRING")); {
	case !o.Key.IsZero():
		o.SASToken = secret.Text{}
	case o.SASToken.IsZero() && connection != "":
		o.ConnectionString, o.Account = secret.New(connection), ""
	}
	domain, protocol := env("AZURE_STORAGE_DOMAIN"), env("AZURE_STORAGE_PROTOCOL")
	emulator, _ := strconv.ParseBool(env("AZURE_STORAGE_IS_LOCAL_EMULATOR"))
	cdn, _ := strconv.ParseBool(env("AZURE_STORAGE_IS_CDN"))
	moved := false // the URL names another service than the environment
	move := func(to *string) func(string) error {
		return func(v string) error {
			*to, moved = v, true
			return nil
		}
	}
	if err := provider.AllParameters(u.Query(), map[string]any{
		"create": &o.Create, "account_url": move(&o.AccountURL), "public_endpoint": &o.PublicEndpoint, "stall_timeout": &o.StallTimeout,
		"storage_account": &o.Account, "domain": move(&domain), "protocol": &protocol, "localemu": &emulator, "cdn": &cdn,
	}); err != nil {
		return nil, err
	}
	if !o.SASToken.IsZero() && moved {
		// The token would be sent to whom the URL names.
		return nil, fmt.Errorf("domain and account_url can't be set by the URL while AZURE_STORAGE_SAS_TOKEN is set")
	}
	if o.AccountURL == "" && o.ConnectionString.IsZero() && o.Account != "" {
		o.AccountURL = accountURL(o.Account, domain, protocol, emulator, cdn)
	}
	return o, nil
}

// accountURL returns the address of an account, as the Go CDK makes it.
func accountURL(account, domain, protocol string, emulator, cdn bool) string {
	if domain == "" {
		domain = "blob.core.windows.net"
	}
	if protocol == "" {
		protocol = "https"
	}
	switch {
	case emulator || strings.HasPrefix(domain, "127.0.0.1") || strings.HasPrefix(domain, "localhost"):
		return protocol + "://" + domain + "/" + account
	case cdn:
		return protocol + "://" + domain
	}
	return protocol + "://" + account + "." + domain
}
