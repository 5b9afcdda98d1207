package driver

// Credentials that a program has for a bucket that it names by a URL, which is no place for secrets.

import (
	"context"
	"sync/atomic"

	"github.com/blobtrail/blobtrail/secret"
)

// Credentials are explicit ones, in place of those that a provider finds in the
// environment. Each provider has fields of its own; the others are empty.
type Credentials struct {
	AccessKey, SecretKey secret.Text // s3
	ConnectionString     secret.Text // azblob
	KeyFile              string      // gs: the path of a service account's JSON key

	taken atomic.Bool
}

// Taken reports whether a provider has asked for them. One that has not uses
// others.
func (c *Credentials) Taken() bool { return c.taken.Load() }

type credentialsKey struct{}

// WithCredentials returns a context by which [Open] hands c to the provider.
func WithCredentials(ctx context.Context, c *Credentials) context.Context {
	return context.WithValue(ctx, credentialsKey{}, c)
}

// CredentialsFrom returns those in ctx, or nil. It is for providers, in their
// [Opener].
func CredentialsFrom(ctx context.Context) *Credentials {
	c, _ := ctx.Value(credentialsKey{}).(*Credentials)
	if c != nil {
		c.taken.Store(true)
	}
	return c
}
