package provider

import "context"

// This file declares the optional methods of a driver.Bucket. The comment of
// package driver describes them. Providers in other modules implement them
// without this package.

// Observer is implemented by a bucket whose service may ignore the condition of
// create-only writes. Store.Check reports the result to it.
type Observer interface {
	ObserveCreateOnly(holds bool)
}

// Prechecker is implemented by a bucket that can predict a failure to store,
// replace or remove the object under a key.
type Prechecker interface {
	Precheck(ctx context.Context, key string) error
}

// Skipper is implemented by a bucket that can contain files without a key. List
// does not yield them.
type Skipper interface {
	Skipped(ctx context.Context, prefix string, limit int, found func(path, reason string) bool) error
}

// Fresh is implemented by a bucket that may have been created by accident.
type Fresh interface {
	Fresh() (fresh bool, confirm string)
	Undo(ctx context.Context) error
}
