package s3store

// This file tracks whether the service honors create-only writes. Amazon's S3 honors
// If-None-Match. Services that speak its protocol may ignore it, which nothing
// but a try can show.

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/keyrule"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const (
	unknown int32 = iota
	holds
	ignored
)

// amazon reports whether the client talks to Amazon.
func amazon(client *s3.Client) bool {
	endpoint := aws.ToString(client.Options().BaseEndpoint)
	if endpoint == "" {
		return true
	}
	u, err := url.Parse(endpoint)
	return err == nil && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn"))
}

// Info implements [driver.Bucket].
func (b *bucket) Info() driver.Info {
	info := b.Bucket.Info()
	info.Capabilities.ExactCreate = b.exact.Load() == holds
	if !info.Capabilities.ExactCreate {
		info.Capabilities.Links.IfNotExist = ""
	}
	return info
}

// ObserveCreateOnly implements [provider.Observer].
func (b *bucket) ObserveCreateOnly(honored bool) {
	if honored {
		b.exact.Store(holds)
	} else {
		b.exact.Store(ignored)
	}
}

// refuseTaken looks whether a key is taken, where the service is not known to
// refuse a create-only write itself. Store.Check tries that, and nothing is to
// keep it from doing so. meta is that of the object to be written, which may be
// there from an earlier try.
func (b *bucket) refuseTaken(ctx context.Context, key string, meta map[string]string, ifNotExist bool) error {
	if !ifNotExist || b.exact.Load() == holds || strings.HasPrefix(key, keyrule.Private+"/check/") {
		return nil
	}
	head, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err == nil {
		if sameOperation(head.Metadata, meta) {
			return nil // the service says what became of it
		}
		return provider.As(fs.ErrExist, errors.New("the key is taken"))
	}
	if err = b.mapError(err); errors.Is(err, fs.ErrNotExist) {
		return nil // and if the bucket is missing, the write says so
	}
	return err
}
