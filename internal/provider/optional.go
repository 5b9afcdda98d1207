package provider

import "context"

// This file holds the optional methods of a driver.Bucket, which the comment of
// package driver describes. A bucket of another module implements them without
// this package.

// Observer is implemented by a bucket that learns from a check whether its
// service honors create-only writes.
type Observer interface {
	ObserveCreateOnly(holds bool)
}

// Prechecker is implemented by a bucket that can see beforehand that no object
// can be stored, replaced or removed under a key.
type Prechecker interface {
	Precheck(ctx context.Context, key string) error
}

// Skipper is implemented by a bucket that can hold files that List does not
// yield, because no key leads to them.
type Skipper interface {
	Skipped(ctx context.Context, prefix string, limit int, found func(path, reason string) bool) error
}

// Fresh is implemented by a bucket that may have come into being by accident.
type Fresh interface {
	Fresh() (fresh bool, confirm string)
	Undo(ctx context.Context) error
}
