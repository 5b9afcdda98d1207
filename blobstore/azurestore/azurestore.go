// Package azurestore is the provider of Azure Blob Storage:
//
//	azblob://container
//	azblob://container?storage_account=myaccount&create=true
//
// # Parameters
//
// The following parameters set the [Options] in parentheses:
//
//	create=true        create the container if it does not exist (Create)
//	account_url        address of the account (AccountURL)
//	public_endpoint    address of the account in links (PublicEndpoint)
//	stall_timeout      such as 30s; 1m by default (StallTimeout)
//
// The URL also accepts these parameters of the Go CDK's azureblob:
// storage_account, domain, protocol, cdn and localemu. An unknown parameter, or
// a parameter given twice, is an error.
//
// # Credentials
//
// Opening a URL reads the environment each time and uses the first credentials
// in this order:
//
//   - AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY
//   - AZURE_STORAGE_SAS_TOKEN
//   - AZURE_STORAGE_CONNECTION_STRING
//   - the default chain of Azure (environment, workload identity, managed
//     identity, command line), if the account is named
//
// [Open] accepts explicit credentials instead. No parameter accepts a secret,
// because URLs appear in logs.
//
// The credentials need the role Storage Blob Data Contributor, or an account
// key. Without an account key, links are signed with a user-delegation key, and
// the credentials also need the role Storage Blob Delegator on the account. A
// SAS token cannot sign links.
//
// # Encryption
//
// Azure encrypts all stored data without a request.
//
// # Writes
//
// One request stores content of up to 4 MiB. Larger content is sent in blocks,
// one after another. The object appears when the list of blocks is committed,
// together with its metadata. The SHA-256 is therefore stored with every
// object.
//
// A write holds at most 4 MiB in memory, and 8 MiB for objects larger than 195
// GiB. The maximum size of an object is 390 GiB. The blocks of a failed write
// are invisible, and the service discards them within a week.
//
// If two uploads to the same key run concurrently, the first one to finish
// discards the blocks of the other. The other upload then fails, even with
// Overwrite.
//
// # Links
//
// A SAS link enforces one method, one key and an expiry. It also enforces
// create-only, by the permission to create but not to write. It cannot enforce
// content type, length or SHA-256. A direct upload checks these on completion,
// and a plain link with one of them is refused.
//
// HEAD links do not exist, because the permission for HEAD includes GET. A PUT
// link with Overwrite also permits changing properties and metadata of the
// object. The client must send the headers of the link; the service requires
// x-ms-blob-type.
//
// If a user-delegation key signs the link, the grant ID is the correlation ID
// (scid) of the link. A link signed with an account key cannot contain it.
//
// The client of a ticket's link can set metadata, headers and the tier, take a
// lease, and send page and append blobs. None of these affects the object. The
// store clears the headers before the service copies the content, and breaks
// leases. It accepts only block blobs in an online tier. If the client chose a
// tier, the object gets the tier Hot.
//
// # Import
//
// Import the package for its side effect:
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
		if !c.IsZero() { // they replace all account settings of the environment
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

// parse returns the options of a URL and the environment.
func parse(u *url.URL, env func(string) string) (*Options, error) {
	if err := provider.CheckURL(u, "azblob://container", "the environment or by azurestore.Open"); err != nil {
		return nil, err
	}
	o := &Options{
		Container: u.Host, Account: env("AZURE_STORAGE_ACCOUNT"), Key: secret.New(env("AZURE_STORAGE_KEY")), SASToken: secret.New(env("AZURE_STORAGE_SAS_TOKEN")),
	}
	// The environment may contain all of them: use the key, then the token.
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
		// The token would be sent to the service in the URL.
		return nil, fmt.Errorf("the URL cannot set domain or account_url while AZURE_STORAGE_SAS_TOKEN is set")
	}
	if o.AccountURL == "" && o.ConnectionString.IsZero() && o.Account != "" {
		o.AccountURL = accountURL(o.Account, domain, protocol, emulator, cdn)
	}
	return o, nil
}

// accountURL returns the address of an account in the same way as the Go CDK.
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
