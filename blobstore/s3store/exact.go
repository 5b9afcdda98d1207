package s3store

// This file tracks whether the service supports create-only writes. Amazon S3
// supports If-None-Match. Compatible services may ignore it, and only a test
// can show this.

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

// refuseTaken checks whether a key exists, unless the service is known to
// refuse create-only writes itself. It skips the test objects of Store.Check,
// because Check tests the service. meta is the metadata of the new object. An
// earlier attempt may have already stored the object.
func (b *bucket) refuseTaken(ctx context.Context, key string, meta map[string]string, ifNotExist bool) error {
	if !ifNotExist || b.exact.Load() == holds || strings.HasPrefix(key, keyrule.Private+"/check/") {
		return nil
	}
	head, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	if err == nil {
		if sameOperation(head.Metadata, meta) {
			return nil // the service reports the outcome
		}
		return provider.As(fs.ErrExist, errors.New("the key already exists"))
	}
	if err = b.mapError(err); errors.Is(err, fs.ErrNotExist) {
		return nil // if the bucket is missing, the write reports it
	}
	return err
}
