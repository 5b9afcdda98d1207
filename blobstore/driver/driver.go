// Package driver is the seam between a blobstore.Store and the services that
// keep its objects. A provider turns a URL into a [Bucket]: a Go CDK bucket for
// reading and listing, and in addition what the Go CDK leaves open (writes that
// leave nothing behind when they fail, links with constraints, errors that mean
// the same everywhere, a plain word on what the service cannot do).
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
	// ErrChecksum: the content is not what its checksum says.
	ErrChecksum = provider.ErrChecksum
	// ErrTooLarge reports content that is longer than its limit or its announced size.
	ErrTooLarge = provider.ErrTooLarge
	// ErrRange reports a range that begins past the end of the object.
	ErrRange = provider.ErrRange
	// ErrReplaced: another object has taken the place of the one that was meant.
	ErrReplaced = errors.New("the object was replaced meanwhile")
	// ErrNoBucket reports that the bucket, container or folder itself does not
	// exist. It is never fs.ErrNotExist: a missing bucket proves nothing about an
	// object.
	ErrNoBucket = errors.New("the bucket does not exist")
	// ErrPath reports that the path of a key leads through something that the
	// backend does not follow, such as a symbolic link to a folder. The backend
	// can't say whether an object exists there. A Write or Copy that fails with
	// it has stored nothing.
	ErrPath = errors.New("the path of the key can't be used")
	// ErrInDoubt: the backend did not say whether the effect happened, or that
	// it will last.
	ErrInDoubt = errors.New("outcome in doubt")
)

// Bucket is an opened bucket, container or folder. All methods may be called
// concurrently.
//
// Errors are those of the contract (see [ErrChecksum]) wherever the service
// lets one tell, and never contain a secret.
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

	// Read opens length bytes of the object from offset on; a negative length
	// reads to the end, and more than there is reads to the end too. Attributes
	// and content MUST be of the same object, even while it is replaced.
	// An offset behind the end is ErrRange. The caller closes the reader.
	Read(ctx context.Context, key string, offset, length int64) (*Reader, error)

	// Write stores what r holds under key, replacing what is there unless
	// o.IfNotExist. It MUST read r until io.EOF; when r fails, when ctx ends or
	// when anything else goes wrong it MUST leave no new object and the old one
	// whole, and return an error that wraps the cause. A nil error means that
	// the object is durable, with its metadata. Memory MUST NOT grow with the
	// object.
	Write(ctx context.Context, key string, r io.Reader, o *WriteOptions) error

	// Copy stores the object src under dst, with the metadata of src but for
	// what o.Metadata replaces. The rules of Write hold.
	Copy(ctx context.Context, dst, src string, o *CopyOptions) error

	// Received describes the object under key, which a client wrote by a signed
	// link. An object that the service can't read like one of Write's is
	// errors.ErrUnsupported: another kind of blob, or one in an archive. If the service
	// changes such content while it serves it, as by an encoding, Received MUST
	// first see to it that Read gives the bytes that Copy would copy.
	Received(ctx context.Context, key string) (*blob.Attributes, error)

	// Delete removes the object. One that is missing is fs.ErrNotExist, and one
	// that is not the one of o.IfMatch is ErrReplaced and MUST stay.
	Delete(ctx context.Context, key string, o *DeleteOptions) error

	// List yields the objects that o selects in the order of their keys, as
	// bytes, and with o.Delimiter one element, whose IsDir is set, for what it
	// folds. It ends after the first error. It MUST NOT yield what is not an
	// object: temporary files, folders, files of the driver's own.
	List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error]

	// Sign makes a link that the service itself will honour. What the service
	// cannot enforce and Capabilities does not promise is errors.ErrUnsupported.
	Sign(ctx context.Context, key string, o *SignOptions) (*SignedURL, error)

	// Sweep removes what a killed Write, Copy or Delete of key may have left
	// beside the objects: temporary files, unfinished multipart uploads. It
	// MUST NOT touch what a live operation uses.
	Sweep(ctx context.Context, key string) error

	// Close releases the bucket.
	Close() error
}

// Info says what a bucket is.
type Info struct {
	Backend      string // "local", "s3", "azure", "gcs", "mem": as recorded in the trail
	Bucket       string // its name; a folder's absolute path. It tells apart the stores that share a trail
	Capabilities Capabilities

	// Needs names the permissions that the program needs in the bucket, in the
	// words of those who grant them, such as "s3:PutObject on its objects". The
	// keys are steps of Store.Check: write, read, list, delete, sweep (to find
	// what killed processes left) and sign. Check advises them when a step fails.
	Needs map[string]string
}

// Capabilities says what a backend can do, so that nothing is weaker than it
// looks. The zero value is what any Go CDK bucket can do.
type Capabilities struct {
	// ExactCreate: of several create-only writes of a key at once, exactly one
	// succeeds. Otherwise the check and the write are two steps. A service that
	// only speaks the protocol of another, as many do that of S3, may ignore the
	// condition: then this is false until blobstore's Store.Check has seen the
	// service refuse a second write, and called ObserveCreateOnly.
	ExactCreate bool
	// ExactDelete: a deletion that is of one version of an object never removes
	// another. Otherwise the look and the deletion are two steps.
	ExactDelete bool
	// AtomicReplace: a reader or a crash during a replacement sees the old or
	// the new object, each with its own metadata, never a mixture.
	AtomicReplace bool
	// Durable: success means that the object survives a loss of power.
	Durable bool
	// KeepsSHA256: the digest is kept with each object that the store wrote,
	// even when it was known only after the last byte.
	KeepsSHA256 bool
	// Links describes the links that the service signs. A store uses them for reading
	// (GET and HEAD) and for direct uploads (PUT). Links that delete, and uploads
	// straight to a key, lead to the handler of the application on every backend.
	Links LinkCapabilities
}

// LinkCapabilities says which links a service signs, and who enforces the constraints of a
// direct upload.
type LinkCapabilities struct {
	Methods     []string      // of GET, HEAD, PUT, DELETE; none: it can't sign
	MaxExpiry   time.Duration // 0: no limit of its own
	Size        Enforcement   // an exact length
	MaxSize     Enforcement
	ContentType Enforcement
	SHA256      Enforcement
	IfNotExist  Enforcement
}

// Enforcement says who holds a constraint on a signed upload. It is empty if the
// constraint can't be enforced: asking for it is errors.ErrUnsupported.
type Enforcement string

const (
	ByService    Enforcement = "by service"    // the service refuses the request
	OnCompletion Enforcement = "on completion" // checked afterwards; what breaks it is removed before it can be read
)

// Reader is an open object.
type Reader struct {
	io.ReadCloser
	Attributes *blob.Attributes
}

// WriteOptions are the options of [Bucket.Write].
type WriteOptions struct {
	IfNotExist   bool              // fail with fs.ErrExist if the key is taken
	Size         int64             // the exact number of bytes that r will give, or -1
	SHA256       []byte            // their digest, if it is known beforehand
	ContentType  string            // never empty
	CacheControl string            // may be empty
	Metadata     map[string]string // to be kept with the object

	// ContentEncoding is stored with the object, such as "gzip". It describes
	// the content as r gives it, which is stored unchanged. It may be empty.
	ContentEncoding string

	// Final, if not nil, is to be called once, after r gave io.EOF and before
	// the object appears, by a provider that can still add metadata then (see
	// Capabilities.KeepsSHA256). What it returns is added to Metadata.
	Final func() map[string]string
}

// CopyOptions are the options of [Bucket.Copy].
type CopyOptions struct {
	IfNotExist bool              // fail with fs.ErrExist if dst is taken
	IfMatch    string            // not empty: fail with ErrReplaced unless src has this ETag, as the attributes of Blob give it
	Metadata   map[string]string // replaces the source's entries of these names

	// ContentOnly takes nothing but the content from src. dst gets ContentType
	// and Metadata, and what Write would give it: no header, metadata, tag, access
	// rule or storage class of src. src is not needed afterwards. A provider may
	// therefore share its content with dst, and change the attributes of src.
	ContentOnly bool
	ContentType string // with ContentOnly; never empty then
}

// DeleteOptions are the options of [Bucket.Delete].
type DeleteOptions struct {
	IfMatch string // not empty: fail with ErrReplaced unless the object has this ETag, as the attributes of Blob give it
}

// SignOptions describe a link.
type SignOptions struct {
	Method  string // GET, HEAD, PUT or DELETE
	Expires time.Time
	GrantID string // made part of the signed URL where the service allows it

	// On GET and HEAD: what the answer says.
	ContentDisposition string
	ResponseType       string

	// On PUT: what the upload must be.
	ContentType string
	Size        *int64 // exact; nil: any
	MaxSize     int64  // 0: any
	SHA256      []byte // nil: any
	IfNotExist  bool
	Metadata    map[string]string // kept with the object
}

// SignedURL is a link as a client must use it. URL is a secret until it expires.
type SignedURL struct {
	URL    string
	Method string
	Header http.Header       // headers that the client must send as they are
	Form   map[string]string // with POST: fields that come before the file
}
