// Package driver defines the interface between a blobstore.Store and the
// storage services. A provider turns a URL into a [Bucket]. A Bucket is a Go
// CDK bucket with additional guarantees: a failed write leaves nothing, links
// have constraints, and errors have the same meaning on every service.
// [Capabilities] lists the guarantees of each service.
//
// Applications use package blobstore instead. To write a provider:
//
//   - Embed the result of [FromBlob] and override the methods your service can
//     improve.
//   - Call [Register] in an init function.
//   - Run the conformance suite of package storetest.
//
// The page docs/writing-a-provider.md shows each step.
//
// The providers of this module refuse a URL with an unknown parameter or with
// the same parameter twice.
//
// # Optional methods
//
// A [Bucket] may implement more methods than the interface. The store looks for
// the following. A bucket that wraps another bucket forwards them.
//
//	// ObserveCreateOnly is for a service that may ignore the condition of a
//	// create-only write. Store.Check tests the condition and reports whether
//	// the service refused to overwrite an existing key. From then on,
//	// Info().Capabilities includes the result.
//	ObserveCreateOnly(holds bool)
//
//	// Precheck returns the error of changing the object under key, if it is
//	// predictable: ErrNoBucket, ErrPath or fs.ErrPermission. Otherwise it
//	// returns nil. The store calls Precheck before it records the beginning
//	// of an operation. Precheck changes nothing.
//	Precheck(ctx context.Context, key string) error
//
//	// Skipped calls found for each file that List omits because it has no
//	// key, if its path begins with prefix, in the order of a walk. The path
//	// is relative to the bucket, uses slashes, and may be invalid UTF-8. The
//	// reason is text such as "symbolic link". The walk ends if found returns
//	// false. If limit is not 0, it also ends after looking at limit files.
//	// Skipped omits the library's own files.
//	Skipped(ctx context.Context, prefix string, limit int, found func(path, reason string) bool) error
//
//	// Fresh is for a bucket that may have been created by accident, such as
//	// an empty folder in place of a volume that is not mounted. It reports
//	// whether the bucket shows no sign of earlier use, and how an operator
//	// confirms a new bucket. Undo removes everything that opening the bucket
//	// created, if the bucket is still empty. The caller then closes it.
//	Fresh() (fresh bool, confirm string)
//	Undo(ctx context.Context) error
package driver

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/internal/provider"
)

// Errors that a provider returns, wrapped. Providers also return
// fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, errors.ErrUnsupported,
// context.Canceled and context.DeadlineExceeded.
var (
	// ErrChecksum reports content that does not match its checksum.
	ErrChecksum = provider.ErrChecksum
	// ErrTooLarge reports content longer than its limit or its announced size.
	ErrTooLarge = provider.ErrTooLarge
	// ErrRange reports a range that begins past the end of the object.
	ErrRange = provider.ErrRange
	// ErrReplaced reports that the object was replaced concurrently.
	ErrReplaced = errors.New("the object was replaced concurrently")
	// ErrNoBucket reports that the bucket, container or folder itself does not
	// exist. It never matches fs.ErrNotExist, because a missing bucket proves
	// nothing about an object.
	ErrNoBucket = errors.New("the bucket does not exist")
	// ErrPath reports that the backend refuses the path of a key, for example
	// because a symbolic link takes the place of a folder. The backend cannot
	// determine whether an object exists there. If Write or Copy fails with
	// ErrPath, it has stored nothing.
	ErrPath = errors.New("the path of the key cannot be used")
	// ErrInDoubt reports that the outcome is unknown. The backend confirmed
	// neither success nor failure, or could not make a change durable.
	ErrInDoubt = errors.New("the outcome is unknown")
)

// Bucket is an open bucket, container or folder. All methods are safe for
// concurrent use.
//
// Methods return the errors of the contract (see [ErrChecksum]) wherever the
// service distinguishes them. Errors never contain a secret.
type Bucket interface {
	// Blob returns the Go CDK bucket. It stays open until Close.
	Blob() *blob.Bucket

	// Info describes the bucket and its capabilities. The result is constant,
	// except for the capabilities reported to ObserveCreateOnly.
	Info() Info

	// Attributes describes the object. If the object does not exist, the error
	// is fs.ErrNotExist. If the bucket does not exist, the error is
	// [ErrNoBucket], even if the response of the service is the same in both
	// cases.
	Attributes(ctx context.Context, key string) (*blob.Attributes, error)

	// Read opens length bytes of the object, starting at offset. If length is
	// negative or reaches past the end, Read returns everything up to the end.
	// Attributes and content MUST belong to the same object, even while it is
	// being replaced. If offset is past the end, the error is ErrRange. The
	// caller closes the reader.
	Read(ctx context.Context, key string, offset, length int64) (*Reader, error)

	// Write stores the content of r under key. It replaces an existing object
	// unless o.IfNotExist is set. It MUST read r until io.EOF.
	//
	// If r fails, ctx ends or any other error occurs, Write MUST leave no new
	// object, MUST leave the old object intact, and MUST return an error that
	// wraps the cause. A nil error means that the object and its metadata are
	// durable. Memory use MUST NOT grow with the size of the object.
	Write(ctx context.Context, key string, r io.Reader, o *WriteOptions) error

	// Copy stores the object src under dst with the metadata of src, except for
	// the entries in o.Metadata. The rules of Write apply.
	Copy(ctx context.Context, dst, src string, o *CopyOptions) error

	// Received describes the object under key after a client wrote it through a
	// signed link. If the service cannot read the object like one of Write's,
	// such as another kind of blob or an archived one, the error is
	// errors.ErrUnsupported. If the service changes such content while serving
	// it, for example by decoding it, Received MUST first ensure that Read
	// returns the same bytes as Copy would copy.
	Received(ctx context.Context, key string) (*blob.Attributes, error)

	// Delete removes the object. If the object does not exist, the error is
	// fs.ErrNotExist. If the ETag of the object is not o.IfMatch, the error is
	// ErrReplaced and the object MUST remain.
	Delete(ctx context.Context, key string, o *DeleteOptions) error

	// List yields the objects selected by o, in the byte order of their keys.
	// With o.Delimiter, List yields one element with IsDir for all keys with
	// the same prefix up to the delimiter. It ends after the first error. It
	// MUST NOT yield temporary files, folders or the driver's own files.
	List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error]

	// Sign creates a link that the service itself serves. For a constraint
	// outside of Capabilities, the error is errors.ErrUnsupported.
	Sign(ctx context.Context, key string, o *SignOptions) (*SignedURL, error)

	// Sweep removes the temporary files and unfinished multipart uploads left
	// by a killed Write, Copy or Delete of key. It MUST NOT touch those of a
	// live operation.
	Sweep(ctx context.Context, key string) error

	// Close releases the bucket.
	Close() error
}

// Info describes a bucket.
type Info struct {
	// Backend is the name of the backend in the trail: "local", "s3", "azure",
	// "gcs" or "mem".
	Backend string
	// Bucket is the name of the bucket, or the absolute path of a folder. It
	// differs between stores that share a trail.
	Bucket       string
	Capabilities Capabilities

	// Needs lists the permissions that the program needs, in the words of the
	// service, such as "s3:PutObject on its objects". The keys are the steps of
	// Store.Check: write, read, list, delete, sign and sweep. If a step fails,
	// Check names its permission. The step sweep looks for leftovers of killed
	// processes.
	Needs map[string]string
}

// Capabilities lists the guarantees of a backend. The zero value is correct for
// any Go CDK bucket.
type Capabilities struct {
	// ExactCreate means that exactly one of several concurrent create-only
	// writes of a key succeeds. If false, check and write are two separate
	// steps. A service with a compatible protocol, such as that of S3, may
	// ignore the condition. ExactCreate is then false until Store.Check of
	// package blobstore has seen the service refuse a second write and has
	// called ObserveCreateOnly.
	ExactCreate bool
	// ExactDelete means that deleting one version of an object never removes
	// another version. If false, check and deletion are two separate steps.
	ExactDelete bool
	// AtomicReplace means that during a replacement, or after a crash, a reader
	// sees either the old or the new object with its own metadata, never a
	// mixture.
	AtomicReplace bool
	// Durable means that an acknowledged object survives a power failure.
	Durable bool
	// KeepsSHA256 means that every object written by the store has a
	// stored digest, even if it is known only after the last byte.
	KeepsSHA256 bool
	// Links describes the links signed by the service. A store uses them for
	// reading (GET and HEAD) and for direct uploads (PUT). On every backend,
	// links that delete and uploads straight to a key lead to the handler of
	// the application.
	Links LinkCapabilities
}

// LinkCapabilities describes the links signed by a service, and who enforces
// the constraints of a direct upload.
type LinkCapabilities struct {
	Methods     []string      // any of GET, HEAD, PUT and DELETE; empty if it cannot sign
	MaxExpiry   time.Duration // 0 means no limit
	Size        Enforcement   // of an exact length
	MaxSize     Enforcement
	ContentType Enforcement
	SHA256      Enforcement
	IfNotExist  Enforcement
}

// Enforcement names the party that enforces a constraint on a signed upload. If
// it is empty, the constraint is not enforced, and Sign returns
// errors.ErrUnsupported.
type Enforcement string

const (
	// ByService means that the service refuses the request.
	ByService Enforcement = "by service"
	// OnCompletion means that the store checks the upload on completion. It
	// removes a violating object before anyone can read it.
	OnCompletion Enforcement = "on completion"
)

// Reader is an open object.
type Reader struct {
	io.ReadCloser
	Attributes *blob.Attributes
}

// WriteOptions are the options of [Bucket.Write].
type WriteOptions struct {
	IfNotExist   bool              // fail with fs.ErrExist if the key exists
	Size         int64             // exact number of bytes in r, or -1 if unknown
	SHA256       []byte            // digest of the content; nil if not yet known
	ContentType  string            // never empty
	CacheControl string            // may be empty
	Metadata     map[string]string // stored with the object

	// ContentEncoding is stored with the object, such as "gzip". It describes
	// the content of r, and the provider does not change the content. It may be
	// empty.
	ContentEncoding string

	// Final returns additional entries for Metadata, known only after the last
	// byte. A provider that can still store them (see Capabilities.KeepsSHA256)
	// calls Final once, after r returned io.EOF and before the object appears.
	// Final may be nil.
	Final func() map[string]string
}

// CopyOptions are the options of [Bucket.Copy].
type CopyOptions struct {
	// IfNotExist makes the copy fail with fs.ErrExist if dst exists.
	IfNotExist bool
	// IfMatch is the required ETag of src, as in Attributes. If it differs, the
	// copy fails with ErrReplaced. Empty means any.
	IfMatch string
	// Metadata replaces the entries of src with the same names.
	Metadata map[string]string

	// ContentOnly copies only the content of src. dst gets ContentType and
	// Metadata, as from Write. It gets no header, metadata, tag, access rule or
	// storage class of src. The caller does not need src afterwards, so a
	// provider may share the content between both and change the attributes of
	// src.
	ContentOnly bool
	// ContentType is the type of dst. With ContentOnly, it is never empty;
	// otherwise it is ignored.
	ContentType string
}

// DeleteOptions are the options of [Bucket.Delete].
type DeleteOptions struct {
	// IfMatch is the required ETag of the object, as in Attributes. If it
	// differs, the deletion fails with ErrReplaced. Empty means any.
	IfMatch string
}

// SignOptions describe a link.
type SignOptions struct {
	Method  string // GET, HEAD, PUT or DELETE
	Expires time.Time
	GrantID string // included in the signed URL if the service allows it

	// Headers of the response, for GET and HEAD.
	ContentDisposition string
	ResponseType       string

	// Constraints on the upload, for PUT.
	ContentType string // empty means any
	Size        *int64 // exact length in bytes; nil means any
	MaxSize     int64  // maximum length in bytes; 0 means unlimited
	SHA256      []byte // nil means any
	IfNotExist  bool
	Metadata    map[string]string // stored with the object
}

// SignedURL is a link and the request that a client must make. Treat URL and
// Form as secrets until the link expires.
type SignedURL struct {
	URL    string
	Method string
	Header http.Header       // headers for the client to send unchanged
	Form   map[string]string // for POST: fields to send before the file
}
