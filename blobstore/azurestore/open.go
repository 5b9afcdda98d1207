package azurestore

// This file contains the options and the client, and checks a container when it
// is opened.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"gocloud.dev/blob/azureblob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/provider"
	"github.com/blobtrail/blobtrail/secret"
)

// Options configures [Open]. Container is required, and so is an account: set
// ConnectionString, AccountURL or Account. Set at most one of ConnectionString,
// Key, SASToken and Credential. If none is set, the default chain of Azure
// provides the credentials. Open refuses contradictory options.
type Options struct {
	// Container is the name of the container.
	Container string

	// ConnectionString is the connection string of the account, as shown in the
	// Azure portal. It includes the account, its address and the credentials.
	ConnectionString secret.Text
	// AccountURL is the address of the account, such as
	// https://myaccount.blob.core.windows.net. If empty, it is derived from
	// Account. It must be empty with ConnectionString.
	AccountURL string
	// Account is the name of the account. If empty, it is derived from
	// AccountURL. It must be empty with ConnectionString.
	Account string
	// Key is the key of the account, in base64.
	Key secret.Text
	// SASToken is a shared access signature for the container or the account.
	SASToken secret.Text
	// Credential is a token credential, such as a managed identity. Nil means
	// the default chain, unless other credentials are set.
	Credential azcore.TokenCredential

	// PublicEndpoint is the address of the account in links, if clients use
	// another address than the program. Empty means AccountURL.
	PublicEndpoint string
	// Create creates the container if it does not exist. If false, Open fails
	// for a missing container.
	Create bool
	// StallTimeout is the longest time without progress before a request fails.
	// It does not limit the duration of an active transfer. Zero means 1 minute.
	StallTimeout time.Duration
	// Transport replaces the HTTP transport, for example for a proxy or private
	// certificates. It has its own timeouts, so StallTimeout must be 0. Nil
	// means the default transport.
	Transport http.RoundTripper
}

var retries = policy.RetryOptions{MaxRetries: cloud.Attempts - 1, RetryDelay: cloud.RetryDelay, MaxRetryDelay: cloud.MaxRetryDelay}

// bucket extends azureblob of the Go CDK by the missing guarantees.
type bucket struct {
	driver.Bucket
	container *container.Client
	signer    *linkSigner
	made      bool             // created by Open
	there     cloudhttp.Shared // checks whether the container exists

	closeTransport func()
}

// Close implements [driver.Bucket].
func (b *bucket) Close() error {
	defer b.closeTransport()
	return b.Bucket.Close()
}

// Open opens a container. It checks that the container exists and that the
// credentials permit listing it. The check takes at most 5 seconds. The caller
// closes the bucket.
func Open(ctx context.Context, o *Options) (driver.Bucket, error) {
	if o == nil || o.Container == "" {
		return nil, errors.New("azure: no container given: want azblob://container or Options.Container")
	}
	b, err := newBucket(ctx, *o)
	if err != nil {
		return nil, fmt.Errorf("azure container %q: %w", o.Container, err)
	}
	ctx, cancel := context.WithTimeout(ctx, cloud.OpenTimeout)
	defer cancel()
	if err := b.check(ctx, o.Create); err != nil {
		return nil, errors.Join(fmt.Errorf("azure container %q: %w", o.Container, err), b.Close())
	}
	return b, nil
}

func newBucket(ctx context.Context, o Options) (*bucket, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	base, err := cloud.Endpoint("account URL", o.AccountURL, example)
	if err != nil {
		return nil, err
	}
	transport, closeTransport := cloudhttp.Or(o.Transport, o.StallTimeout)
	opts := policy.ClientOptions{Transport: &http.Client{Transport: transport}}
	opts.Retry = retries

	b := &bucket{signer: &linkSigner{container: o.Container}}
	target := base.JoinPath(o.Container)
	var svc *service.Client
	switch {
	case !o.Key.IsZero():
		cred, err := container.NewSharedKeyCredential(o.Account, o.Key.Reveal())
		if err != nil {
			return nil, errors.New("invalid account key: want base64") // the error of the SDK might quote the key
		}
		b.signer.shared = cred
		b.container, err = container.NewClientWithSharedKeyCredential(target.String(), cred, &container.ClientOptions{ClientOptions: opts})
		if err != nil {
			return nil, err
		}
	case !o.SASToken.IsZero():
		target.RawQuery = strings.TrimPrefix(o.SASToken.Reveal(), "?")
		if b.container, err = container.NewClientWithNoCredential(target.String(), &container.ClientOptions{ClientOptions: opts}); err != nil {
			return nil, errors.New("invalid SAS token")
		}
		b.signer.reason = "a SAS token cannot sign links: use an account key or a token credential"
	default:
		cred := o.Credential
		if cred == nil {
			if cred, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: opts}); err != nil {
				return nil, fmt.Errorf("no credentials: set an account key, a connection string, or an identity: %w", err)
			}
		}
		if b.container, err = container.NewClient(target.String(), cred, &container.ClientOptions{ClientOptions: opts}); err != nil {
			return nil, err
		}
		svcBase := *base
		if name, _, _ := strings.Cut(base.Host, "."); name != o.Account {
			// The SDK signs with the account at the beginning of the host name.
			svcBase = url.URL{Scheme: base.Scheme, Host: o.Account + ".blob.core.windows.net"}
			opts.Transport = &http.Client{Transport: &detour{transport, base}}
		}
		if svc, err = service.NewClient(svcBase.String(), cred, &service.ClientOptions{ClientOptions: opts}); err != nil {
			return nil, err
		}
		b.signer.delegation = &delegation{client: svc}
	}
	public := base
	if o.PublicEndpoint != "" {
		if public, err = cloud.Endpoint("public endpoint", o.PublicEndpoint, example); err != nil {
			return nil, err
		}
	}
	b.signer.https = public.Scheme == "https"
	b.signer.prefix = strings.TrimSuffix(public.String(), "/") + "/" + o.Container + "/"
	plain, err := azureblob.OpenBucket(ctx, b.container, nil)
	if err != nil {
		return nil, err
	}
	b.closeTransport = closeTransport
	b.Bucket = driver.FromBlob(plain, driver.Info{Backend: "azure", Bucket: o.Account + "/" + o.Container, Capabilities: driver.Capabilities{
		ExactCreate: true, ExactDelete: true, AtomicReplace: true, Durable: true, KeepsSHA256: true, Links: b.signer.links(),
	}, Needs: map[string]string{
		"write": "the role Storage Blob Data Contributor, or in a SAS token sp=cw", "read": "the role Storage Blob Data Contributor, or in a SAS token sp=r",
		"list": "the role Storage Blob Data Contributor, or in a SAS token sp=l", "delete": "the role Storage Blob Data Contributor, or in a SAS token sp=d",
		"sign": "the role Storage Blob Delegator on the account, or the account's key",
	}})
	return b, nil
}

// check returns an error that names an option which would be ignored.
func (o *Options) check() error {
	connection := provider.Option{Name: "ConnectionString", Set: !o.ConnectionString.IsZero()}
	for _, others := range [][]provider.Option{
		{{Name: "Key", Set: !o.Key.IsZero()}, {Name: "SASToken", Set: !o.SASToken.IsZero()}, {Name: "Credential", Set: o.Credential != nil}},
		{{Name: "AccountURL", Set: o.AccountURL != ""}},
		{{Name: "Account", Set: o.Account != ""}},
	} {
		if err := provider.AtMostOne(append(others, connection)...); err != nil {
			return err
		}
	}
	return provider.CheckTransport(o.Transport, o.StallTimeout)
}

// complete derives missing options from the others.
func (o *Options) complete() error {
	if !o.ConnectionString.IsZero() {
		if err := o.takeConnectionString(); err != nil {
			return err
		}
	}
	if o.AccountURL == "" {
		if o.Account == "" {
			return errors.New("no account given: set a connection string, AZURE_STORAGE_ACCOUNT, or the parameter storage_account")
		}
		o.AccountURL = accountURL(o.Account, "", "", false, false)
	}
	if o.Account == "" {
		if u, err := url.Parse(o.AccountURL); err == nil {
			if o.Account = strings.Trim(u.Path, "/"); o.Account == "" {
				o.Account, _, _ = strings.Cut(u.Host, ".")
			}
		}
	}
	return nil
}

func (o *Options) takeConnectionString() error {
	parts := map[string]string{"DefaultEndpointsProtocol": "https", "EndpointSuffix": "core.windows.net"}
	for part := range strings.SplitSeq(o.ConnectionString.Reveal(), ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		k, v, ok := strings.Cut(part, "=")
		if !ok {
			return errors.New("invalid connection string: want a list of Name=value, separated by semicolons")
		}
		parts[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	if parts["UseDevelopmentStorage"] != "" {
		return errors.New("UseDevelopmentStorage is not supported: set the emulator's BlobEndpoint, AccountName and AccountKey")
	}
	o.Account, o.Key, o.SASToken = parts["AccountName"], secret.New(parts["AccountKey"]), secret.New(parts["SharedAccessSignature"])
	o.AccountURL = strings.TrimSuffix(parts["BlobEndpoint"], "/")
	if o.AccountURL == "" && o.Account != "" {
		o.AccountURL = accountURL(o.Account, "blob."+parts["EndpointSuffix"], parts["DefaultEndpointsProtocol"], false, false)
	}
	switch {
	case o.AccountURL == "":
		return errors.New("the connection string has neither AccountName nor BlobEndpoint")
	case o.Key.IsZero() && o.SASToken.IsZero():
		return errors.New("the connection string has neither AccountKey nor SharedAccessSignature")
	case !o.Key.IsZero() && o.Account == "":
		return errors.New("the connection string has an AccountKey but no AccountName")
	}
	return nil
}

const example = "https://myaccount.blob.core.windows.net"

// check determines whether the container can be used. If create is set, it
// creates a missing container. Like the other providers it lists the container,
// because every use of the container needs this permission.
func (b *bucket) check(ctx context.Context, create bool) error {
	err := b.list(ctx)
	if create && bloberror.HasCode(err, bloberror.ContainerNotFound, bloberror.ResourceNotFound) {
		_, err := b.container.Create(ctx, nil)
		if err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
			return fmt.Errorf("the container does not exist and cannot be created: %w", b.mapError(err))
		}
		b.made = err == nil
		return nil
	}
	re := (*azcore.ResponseError)(nil)
	switch {
	case err == nil:
		return nil
	case bloberror.HasCode(err, bloberror.ContainerNotFound, bloberror.ResourceNotFound):
		return cloud.ErrMissing
	case bloberror.HasCode(err, bloberror.ContainerBeingDeleted):
		return errors.New("the container is being deleted: try again later")
	case bloberror.HasCode(err, bloberror.AuthorizationPermissionMismatch, bloberror.InsufficientAccountPermissions):
		return fmt.Errorf("the credentials do not permit listing the container: they need the role Storage Blob Data Contributor: %w", b.mapError(err))
	}
	refused := errors.As(err, &re) && re.StatusCode == http.StatusForbidden
	return cloud.Explain(err, b.mapError(err), refused, ": check account and network: ")
}

// Fresh implements [provider.Fresh].
func (b *bucket) Fresh() (bool, string) { return b.made, cloud.MakeByHand }

// Undo implements [provider.Fresh]. The service would delete a container with
// its content, so Undo first checks that it is empty.
func (b *bucket) Undo(ctx context.Context) error {
	if !b.made {
		return nil
	}
	for _, err := range b.List(ctx, nil) {
		return b.mapError(err) // another process already uses it
	}
	_, err := b.container.Delete(ctx, nil)
	return b.mapError(err)
}

func (b *bucket) list(ctx context.Context) error {
	one := int32(1)
	_, err := b.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{MaxResults: &one}).NextPage(ctx)
	return err
}
