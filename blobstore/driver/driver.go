// Package driver is the seam between a blobstore.Store and the services that
// keep its objects. A provider turns a URL into a [Bucket]: a Go CDK bucket with
// the guarantees that the Go CDK leaves open. A write that fails leaves nothing,
// links have constraints, errors mean the same on every service, and
// [Capabilities] names the guarantees that the service gives.
//
// Applications use package blobstore. A provider embeds what [FromBlob] returns,
// overrides what the service does better, registers itself with [Register] in an
// init function, and runs the conformance suite of package storetest. The page
// docs/writing-a-provider.md shows each step.
//
// # Optional methods
//
// A [Bucket] may have more methods than the interface. The store looks for these.
// A bucket that wraps another one forwards them.
//
//	// ObserveCreateOnly is for a service that may ignore the condition of a
//	// create-only write. Store.Check tries it and reports whether the service
//	// refused to write a key that was taken. From then on the result is a part
//	// of Info().Capabilities.
//	ObserveCreateOnly(holds bool)
//
//	// Precheck returns nil, or the error that changing the object of the key
//	// would fail with: ErrNoBucket, ErrPath or fs.ErrPermission. The store calls
//	// it before it records that the operation begins. It changes nothing.
//	Precheck(ctx context.Context, key string) error
//
//	// Skipped calls found for each file that List does not yield because no key
//	// leads to it, if the path begins with prefix, in the order of a walk. The
//	// path is relative to the bucket, with slashes, and perhaps not valid UTF-8.
//	// The reason is one such as "symbolic link". The walk ends when found returns
//	// false and, if limit is not 0, after that many files. It leaves out the
//	// files that the library keeps for itself.
//	Skipped(ctx context.Context, prefix string, limit int, found func(path, reason string) bool) error
//
//	// Fresh is for a bucket that may have come into being by accident, such as
//	// the empty folder where a volume should be mounted. It reports whether the
//	// bucket shows no sign of ever having been used, and how a person confirms
//	// that it is meant to be new. Undo removes what opening the bucket has
//	// created, if it is still empty. The caller closes the bucket afterwards.
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

// Errors that a provider returns, wrapped. The others of the contract are
// fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, context.Canceled and
// context.DeadlineExceeded.
var (
	// ErrChecksum reports content that does not match its checksum.
	ErrChecksum = provider.ErrChecksum
	// ErrTooLarge reports content that is longer than its limit or its announced size.
	ErrTooLarge = provider.ErrTooLarge
	// ErrRange reports a range that begins past the end of the object.
	ErrRange = provider.ErrRange
	// ErrReplaced reports that the object was replaced concurrently.
	ErrReplaced = errors.New("the object was replaced concurrently")
	// ErrNoBucket reports that the bucket, container or folder itself does not
	// exist. It is never fs.ErrNotExist: a missing bucket proves nothing about an
	// object.
	ErrNoBucket = errors.New("the bucket does not exist")
	// ErrPath reports that the backend does not follow the path of a key, which
	// leads through a symbolic link to a folder, for example. The backend can't
	// determine whether an object exists there. A Write or Copy that fails with it
	// has stored nothing.
	ErrPath = errors.New("the path of the key can't be used")
	// ErrInDoubt reports that the outcome is unknown: the backend confirmed
	// neither that the effect happened, or that it is durable, nor that it did not.
	ErrInDoubt = errors.New("outcome in doubt")
)

// Bucket is an opened bucket, container or folder. All methods may be called
// concurrently.
//
// Errors are those of the contract (see [ErrChecksum]) wherever the service
// distinguishes them. They never contain a secret.
type Bucket interface {
	// Blob is the Go CDK bucket. It stays open until Close.
	Blob() *blob.Bucket

	// Info describes the bucket and what it can do. It is constant, except for
	// the capabilities that ObserveCreateOnly learns of.
	Info() Info

	// Attributes describes the object. A missing object is fs.ErrNotExist; a
	// missing bucket is [ErrNoBucket], also where the service's own response
	// doesn't distinguish them.
	Attributes(ctx context.Context, key string) (*blob.Attributes, error)

	// Read opens length bytes of the object from offset on. A negative length, or
	// one past the end, reads to the end. Attributes and content MUST belong to
	// the same object, even while it is replaced. An offset past the end is
	// ErrRange. The caller closes the reader.
	Read(ctx context.Context, key string, offset, length int64) (*Reader, error)

	// Write stores the content of r under key. It replaces an existing object
	// unless o.IfNotExist is set. It MUST read r until io.EOF. If r fails, ctx ends
	// or anything else goes wrong, it MUST leave no new object and the old one
	// whole, and return an error that wraps the cause. A nil error means that the
	// object is durable, with its metadata. Memory MUST NOT grow with the object.
	Write(ctx context.Context, key string, r io.Reader, o *WriteOptions) error

	// Copy stores the object src under dst with the metadata of src, except for
	// the entries that o.Metadata replaces. The rules of Write hold.
	Copy(ctx context.Context, dst, src string, o *CopyOptions) error

	// Received describes the object under key, which a client wrote by a signed
	// link. An object that the service can't read like one of Write's, such as
	// another kind of blob or one in an archive, is errors.ErrUnsupported. If the
	// service changes such content while it serves it, by decoding it for example,
	// Received MUST first ensure that Read returns the bytes that Copy would copy.
	Received(ctx context.Context, key string) (*blob.Attributes, error)

	// Delete removes the object. A missing object is fs.ErrNotExist. If o.IfMatch
	// names another version, the error is ErrReplaced and the object MUST stay.
	Delete(ctx context.Context, key string, o *DeleteOptions) error

	// List yields the objects that o selects, in the byte order of their keys.
	// With o.Delimiter it yields one element with IsDir for all keys that have the
	// delimiter after the same prefix. It ends after the first error. It MUST NOT
	// yield temporary files, folders or files that the driver keeps for itself.
	List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error]

	// Sign makes a link that the service itself honors. A constraint that
	// Capabilities does not promise is errors.ErrUnsupported.
	Sign(ctx context.Context, key string, o *SignOptions) (*SignedURL, error)

	// Sweep removes temporary files and unfinished multipart uploads that a killed
	// Write, Copy or Delete of key may have left. It MUST NOT touch those of a
	// live operation.
	Sweep(ctx context.Context, key string) error

	// Close releases the bucket.
	Close() error
}

// Info describes a bucket.
type Info struct {
	Backend      string // as recorded in the trail: "local", "s3", "azure", "gcs", "mem"
	Bucket       string // its name, or the absolute path of a folder; different for each store that shares a trail
	Capabilities Capabilities

	// Needs names the permissions that the program needs in the bucket, in the
	// words of those who grant them, such as "s3:PutObject on its objects". The
	// keys are steps of Store.Check: write, read, list, delete, sign and sweep,
	// which looks for leftovers of killed processes. Check names the permission
	// when its step fails.
	Needs map[string]string
}

// Capabilities names the guarantees of a backend. The zero value is right for any
// Go CDK bucket.
type Capabilities struct {
	// ExactCreate: of several concurrent create-only writes of a key, exactly one
	// succeeds. Otherwise the check and the write are two steps. A service that
	// only speaks the protocol of another, such as that of S3, may ignore the
	// condition. Then this is false until blobstore's Store.Check has seen the
	// service refuse a second write, and called ObserveCreateOnly.
	ExactCreate bool
	// ExactDelete: a deletion of one version of an object never removes another
	// version. Otherwise the check and the deletion are two steps.
	ExactDelete bool
	// AtomicReplace: a reader or a crash during a replacement sees the old or
	// the new object, each with its own metadata, never a mixture.
	AtomicReplace bool
	// Durable: success means that the object survives a loss of power.
	Durable bool
	// KeepsSHA256: the digest is kept with each object that the store wrote, even
	// if it is known only after the last byte.
	KeepsSHA256 bool
	// Links describes the links that the service signs. A store uses them for reading
	// (GET and HEAD) and for direct uploads (PUT). Links that delete, and uploads
	// straight to a key, lead to the handler of the application on every backend.
	Links LinkCapabilities
}

// LinkCapabilities names the links that a service signs, and who enforces the
// constraints of a direct upload.
type LinkCapabilities struct {
	Methods     []string      // of GET, HEAD, PUT and DELETE; empty if it can't sign
	MaxExpiry   time.Duration // 0 means no limit
	Size        Enforcement   // an exact length
	MaxSize     Enforcement
	ContentType Enforcement
	SHA256      Enforcement
	IfNotExist  Enforcement
}

// Enforcement names who enforces a constraint on a signed upload. It is empty if
// none does: then the constraint is errors.ErrUnsupported.
type Enforcement string

const (
	ByService    Enforcement = "by service"    // the service refuses the request
	OnCompletion Enforcement = "on completion" // the store checks it afterwards, and removes an object that breaks it before it can be read
)

// Reader is an open object.
type Reader struct {
	io.ReadCloser
	Attributes *blob.Attributes
}

// WriteOptions are the options of [Bucket.Write].
type WriteOptions struct {
	IfNotExist   bool              // fail with fs.ErrExist if the key is taken
	Size         int64             // the exact number of bytes in r, or -1
	SHA256       []byte            // the digest of the content, if it is known beforehand
	ContentType  string            // never empty
	CacheControl string            // may be empty
	Metadata     map[string]string // kept with the object

	// ContentEncoding is stored with the object, such as "gzip". It describes the
	// content of r, which is stored unchanged. It may be empty.
	ContentEncoding string

	// Final, if not nil, returns entries to add to Metadata that are known only
	// after the last byte. A provider that can still add them (see
	// Capabilities.KeepsSHA256) calls it once, after r returned io.EOF and before
	// the object appears.
	Final func() map[string]string
}

// CopyOptions are the options of [Bucket.Copy].
type CopyOptions struct {
	IfNotExist bool              // fail with fs.ErrExist if dst is taken
	IfMatch    string            // if not empty, fail with ErrReplaced unless the ETag of src in Attributes is this one
	Metadata   map[string]string // replaces the source's entries of these names

	// ContentOnly takes only the content from src. dst gets ContentType and
	// Metadata, as from Write, and no header, metadata, tag, access rule or storage
	// class of src. src is not needed afterwards. A provider may therefore share
	// its content with dst, and change the attributes of src.
	ContentOnly bool
	ContentType string // with ContentOnly; never empty then
}

// DeleteOptions are the options of [Bucket.Delete].
type DeleteOptions struct {
	IfMatch string // if not empty, fail with ErrReplaced unless the object's ETag in Attributes is this one
}

// SignOptions describe a link.
type SignOptions struct {
	Method  string // GET, HEAD, PUT or DELETE
	Expires time.Time
	GrantID string // made part of the signed URL where the service allows it

	// On GET and HEAD: headers of the response.
	ContentDisposition string
	ResponseType       string

	// On PUT: constraints of the upload.
	ContentType string // empty means any
	Size        *int64 // exact; nil means any
	MaxSize     int64  // 0 means any
	SHA256      []byte // nil means any
	IfNotExist  bool
	Metadata    map[string]string // kept with the object
}

// SignedURL is a link with the request that a client must make. Treat URL and Form
// as secrets until the link expires.
type SignedURL struct {
	URL    string
	Method string
	Header http.Header       // headers that the client must send unchanged
	Form   map[string]string // with POST: fields that precede the file
}
