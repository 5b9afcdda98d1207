package driver

import (
	"context"
	"iter"

	"gocloud.dev/blob"
)

// This file holds the interfaces that a [Bucket] may implement in addition.

// Describer is implemented by a [Bucket] that describes objects better than the
// Go CDK does. A bucket that wraps another one forwards it, by [Attributes].
type Describer interface {
	// Attributes describes the object. A missing object is fs.ErrNotExist; a
	// missing bucket is [ErrNoBucket], also where the service's own response
	// doesn't distinguish them.
	Attributes(ctx context.Context, key string) (*blob.Attributes, error)
}

// Observer is implemented by a [Bucket] of a service that may or may not honor
// the condition of a create-only write. Store.Check tries it and reports the
// result, which from then on is a part of Info().Capabilities.
type Observer interface {
	// ObserveCreateOnly reports whether the service refused a create-only write
	// of a key that was taken.
	ObserveCreateOnly(holds bool)
}

// Prechecker is implemented by a [Bucket] that can see beforehand that no
// object can be stored, replaced or removed under a key.
type Prechecker interface {
	// Precheck returns nil, or the error that changing the object of the key
	// would fail with: [ErrNoBucket], [ErrPath] or fs.ErrPermission. The store
	// calls it before it records that the operation begins. It changes nothing.
	Precheck(ctx context.Context, key string) error
}

// Skipped is a file of the bucket that is not an object.
type Skipped struct {
	Path   string // relative to the bucket, with slashes; perhaps not valid UTF-8
	Reason string // such as "symbolic link"
}

// Skipper is implemented by a [Bucket] that can hold files that List does not
// yield, because no key leads to them.
type Skipper interface {
	// Skipped yields these files in the order of a walk, for the paths that
	// begin with prefix. It ends after the first error. If limit is not 0, it
	// ends when it has looked at that many files. It leaves out the files that
	// the library keeps for itself.
	Skipped(ctx context.Context, prefix string, limit int) iter.Seq2[Skipped, error]
}

// Fresh is implemented by a [Bucket] that may have come into being by accident,
// such as the empty folder where a volume should be mounted.
type Fresh interface {
	// Fresh reports whether the bucket shows no sign of ever having been used,
	// and how a person confirms that it is meant to be new.
	Fresh() (fresh bool, confirm string)
	// Undo removes what opening the bucket has created, if it is still empty. The
	// caller closes the bucket afterwards.
	Undo(ctx context.Context) error
}

// MakeByHand is how a person confirms that a bucket which was made by opening it
// is meant to be new. See [Fresh].
const MakeByHand = "create it by hand and open it then"
