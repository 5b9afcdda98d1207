package azurestore

// This file implements reading, deleting and copying, and escapes names.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloud"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/keyrule"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// Read implements [driver.Bucket]. One request returns both the content and all
// attributes. If the connection breaks, reading resumes as long as the object
// is the same.
func (b *bucket) Read(ctx context.Context, key string, offset, length int64) (*driver.Reader, error) {
	o := &azblob.DownloadStreamOptions{}
	switch {
	case offset < 0:
		return nil, fmt.Errorf("%w: offset %d is negative", driver.ErrRange, offset)
	case length == 0:
		return cloud.ReadNothing(ctx, b, key, offset)
	case length > 0:
		o.Range = azblob.HTTPRange{Offset: offset, Count: length}
	default:
		o.Range = azblob.HTTPRange{Offset: offset}
	}
	out, err := b.container.NewBlobClient(escapeKey(key)).DownloadStream(ctx, o)
	if err = b.missing(ctx, err); errors.Is(err, driver.ErrRange) {
		// The range at the end of an object is empty, but not an error.
		return cloud.ReadNothing(ctx, b, key, offset)
	}
	if err != nil {
		return nil, err
	}
	size, err := cloud.WholeSize(value(out.ContentLength), out.ContentRange)
	if err != nil {
		_ = out.Body.Close() // nothing was read from it
		return nil, err
	}
	return &driver.Reader{
		ReadCloser: provider.MapReads(out.NewRetryReader(ctx, &azblob.RetryReaderOptions{MaxRetries: cloud.Resumes}), b.mapError),
		Attributes: &blob.Attributes{
			CacheControl: value(out.CacheControl), ContentDisposition: value(out.ContentDisposition),
			ContentEncoding: value(out.ContentEncoding), ContentLanguage: value(out.ContentLanguage),
			ContentType: value(out.ContentType), Metadata: decodeMetadata(out.Metadata),
			CreateTime: value(out.CreationTime), ModTime: value(out.LastModified), Size: size,
			MD5: out.BlobContentMD5, ETag: string(value(out.ETag)),
		},
	}, nil
}

// Attributes implements [driver.Bucket].
func (b *bucket) Attributes(ctx context.Context, key string) (*blob.Attributes, error) {
	out, err := b.container.NewBlobClient(escapeKey(key)).GetProperties(ctx, nil)
	if err != nil {
		return nil, b.missing(ctx, err)
	}
	return &blob.Attributes{
		CacheControl: value(out.CacheControl), ContentDisposition: value(out.ContentDisposition),
		ContentEncoding: value(out.ContentEncoding), ContentLanguage: value(out.ContentLanguage),
		ContentType: value(out.ContentType), Metadata: decodeMetadata(out.Metadata),
		CreateTime: value(out.CreationTime), ModTime: value(out.LastModified), Size: value(out.ContentLength),
		MD5: out.ContentMD5, ETag: string(value(out.ETag)),
	}, nil
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// List implements [driver.Bucket].
func (b *bucket) List(ctx context.Context, o *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return provider.List(ctx, b.Blob(), o, b.mapError)
}

// Delete implements [driver.Bucket]. It also deletes the snapshots of the
// object. If a request got no response and its repetition finds nothing, the
// first request deleted the object.
func (b *bucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	lost := false
	again := retries
	again.ShouldRetry = func(resp *http.Response, err error) bool {
		if err != nil {
			lost = true
			return true
		}
		switch resp.StatusCode {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable: // the service did not begin the request
			return true
		case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
			lost = true
			return true
		}
		return false
	}
	snapshots := azblob.DeleteSnapshotsOptionTypeInclude
	opts := &azblob.DeleteOptions{DeleteSnapshots: &snapshots}
	if o.IfMatch != "" {
		etag := azcore.ETag(o.IfMatch)
		opts.AccessConditions = &azblob.AccessConditions{ModifiedAccessConditions: &azblob.ModifiedAccessConditions{IfMatch: &etag}}
	}
	client := b.container.NewBlobClient(escapeKey(key))
	_, err := client.Delete(policy.WithRetryOptions(ctx, again), opts)
	if keyrule.IsUpload(key) && bloberror.HasCode(err, bloberror.LeaseIDMissing) {
		var props azblob.GetPropertiesResponse
		if props, err = client.GetProperties(ctx, nil); err == nil {
			err = b.breakLease(ctx, client, &props)
		}
		if err == nil {
			_, err = client.Delete(policy.WithRetryOptions(ctx, again), opts)
		}
	}
	if bloberror.HasCode(err, bloberror.ConditionNotMet) {
		// Some services also respond with this if the object does not exist.
		if _, err = b.container.NewBlobClient(escapeKey(key)).GetProperties(ctx, nil); err == nil {
			if lost { // it may be newer than the object deleted by the first request
				return errors.New("another object exists, and the response to the first request was lost")
			}
			return driver.ErrReplaced
		}
	}
	if err = b.missing(ctx, err); lost && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Copy implements [driver.Bucket]. Within an account, the service usually
// copies at once. Otherwise Copy polls until the copy is complete.
func (b *bucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	from, to := b.container.NewBlobClient(escapeKey(src)), b.container.NewBlobClient(escapeKey(dst))
	props, err := from.GetProperties(ctx, nil)
	if err != nil {
		return b.missing(ctx, err)
	}
	if o.IfMatch != "" && o.IfMatch != string(value(props.ETag)) {
		return driver.ErrReplaced
	}
	etag, meta := props.ETag, props.Metadata
	if o.ContentOnly {
		meta = nil
		if etag, err = b.strip(ctx, from, &props, o.ContentType); err != nil {
			return err
		}
	}
	if meta == nil {
		meta = make(map[string]*string)
	}
	for k, v := range encodeMetadata(o.Metadata) {
		for old := range meta {
			if strings.EqualFold(old, k) { // they return as headers, which do not preserve case
				delete(meta, old)
			}
		}
		meta[k] = v
	}
	opts := &azblob.StartCopyFromURLOptions{
		Metadata:                       meta,
		SourceModifiedAccessConditions: &azblob.SourceModifiedAccessConditions{SourceIfMatch: etag},
	}
	if o.ContentOnly && props.AccessTier != nil && !value(props.AccessTierInferred) {
		opts.Tier = new(azblob.AccessTierHot) // otherwise the tier of src, chosen by its client, would be copied
	}
	if o.IfNotExist {
		opts.AccessConditions = ifAbsent()
	}
	started, err := to.StartCopyFromURL(ctx, from.URL(), opts)
	if bloberror.HasCode(err, bloberror.SourceConditionNotMet) {
		return driver.ErrReplaced
	}
	if err != nil {
		if ctx.Err() != nil {
			return provider.As(context.Cause(ctx), b.mapError(err))
		}
		return b.missing(ctx, err)
	}
	return b.await(ctx, to, started.CopyID, value(started.CopyStatus))
}

// strip clears the headers of the source, because the service would copy them.
// It returns the new ETag of the source. If the source cannot be changed, for
// example in a container with immutable blobs, its headers must already be
// correct.
func (b *bucket) strip(ctx context.Context, from *azblob.Client, props *azblob.GetPropertiesResponse, contentType string) (*azcore.ETag, error) {
	if err := b.breakLease(ctx, from, props); err != nil {
		return nil, err
	}
	out, err := from.SetHTTPHeaders(ctx, azblob.HTTPHeaders{BlobContentType: &contentType}, &azblob.SetHTTPHeadersOptions{
		AccessConditions: &azblob.AccessConditions{ModifiedAccessConditions: &azblob.ModifiedAccessConditions{IfMatch: props.ETag}},
	})
	if bloberror.HasCode(err, bloberror.ConditionNotMet) {
		return nil, driver.ErrReplaced
	}
	if err != nil && ctx.Err() != nil {
		return nil, provider.As(context.Cause(ctx), b.mapError(err))
	}
	if err = b.mapError(err); errors.Is(err, fs.ErrPermission) && value(props.ContentType) == contentType && value(props.CacheControl) == "" &&
		value(props.ContentEncoding) == "" && value(props.ContentLanguage) == "" && value(props.ContentDisposition) == "" {
		return props.ETag, nil
	}
	return out.ETag, err
}

// breakLease breaks a client's lease on received content. The signature for
// writing also permits taking a lease.
func (b *bucket) breakLease(ctx context.Context, of *azblob.Client, props *azblob.GetPropertiesResponse) error {
	if value(props.LeaseStatus) != lease.StatusTypeLocked {
		return nil
	}
	client, err := lease.NewBlobClient(of, nil)
	if err != nil {
		return err
	}
	at := int32(0)
	_, err = client.BreakLease(ctx, &lease.BlobBreakOptions{BreakPeriod: &at})
	return b.mapError(err)
}

// Received implements [driver.Bucket]. It refuses other kinds of blobs, whose
// size does not show the size of the content. It also refuses archived content,
// and content that the service is still fetching from elsewhere.
func (b *bucket) Received(ctx context.Context, key string) (*blob.Attributes, error) {
	props, err := b.container.NewBlobClient(escapeKey(key)).GetProperties(ctx, nil)
	if err != nil {
		return nil, b.mapError(err)
	}
	switch tier := value(props.AccessTier); {
	case value(props.BlobType) != azblob.BlobTypeBlockBlob:
		return nil, fmt.Errorf("%w: the client sent the blob as a %s: send it as a BlockBlob", provider.ErrKind, value(props.BlobType))
	case tier == string(azblob.AccessTierArchive) || value(props.ArchiveStatus) != "":
		return nil, fmt.Errorf("%w: the client sent the blob to the tier Archive: send it to an online tier", provider.ErrKind)
	case value(props.CopyStatus) == azblob.CopyStatusTypePending:
		return nil, provider.As(fs.ErrNotExist, errors.New("the service is still copying the blob from elsewhere"))
	}
	return &blob.Attributes{
		ContentType: value(props.ContentType), Size: value(props.ContentLength), ModTime: value(props.LastModified), ETag: string(value(props.ETag)),
	}, nil
}

// await waits for a pending copy. If the copy fails or ctx ends, await removes
// it.
func (b *bucket) await(ctx context.Context, to *azblob.Client, id *string, status azblob.CopyStatusType) error {
	pause := 5 * time.Millisecond
	for status == azblob.CopyStatusTypePending {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return b.giveUp(ctx, to, id, context.Cause(ctx))
		}
		pause = min(2*pause, 500*time.Millisecond)
		props, err := to.GetProperties(ctx, nil)
		if err != nil {
			return b.giveUp(ctx, to, id, b.mapError(err))
		}
		if value(props.CopyID) != value(id) {
			return errors.New("the destination was replaced during the copy")
		}
		status = value(props.CopyStatus)
	}
	if status != azblob.CopyStatusTypeSuccess {
		return b.giveUp(ctx, to, id, fmt.Errorf("the service could not copy the object: %s", status))
	}
	return nil
}

// giveUp ends a copy and removes the empty object that represents it until it
// is complete.
func (b *bucket) giveUp(ctx context.Context, to *azblob.Client, id *string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	props, err := to.GetProperties(ctx, nil)
	if err == nil && value(props.CopyID) != value(id) {
		return cause
	}
	if err == nil && value(props.CopyStatus) == azblob.CopyStatusTypePending {
		_, err = to.AbortCopyFromURL(ctx, value(id), nil)
	}
	if err == nil {
		_, err = to.Delete(ctx, nil)
	}
	if err != nil && !bloberror.HasCode(err, bloberror.BlobNotFound) {
		return provider.As(driver.ErrInDoubt, fmt.Errorf("%w; removing its leftovers failed: %w", cause, b.mapError(err)))
	}
	return cause
}

// escapeKey escapes the characters that Azure does not accept in names, in the
// same way as the Go CDK. The Go CDK escapes more characters, but the store
// refuses those in keys.
func escapeKey(key string) string {
	if !strings.ContainsFunc(key, azureEscapes) && !strings.Contains(key, "__0x") {
		return key
	}
	return cloudhttp.EscapeName(key, func(_ int, r rune) bool { return azureEscapes(r) })
}

func azureEscapes(r rune) bool {
	switch r {
	case '"', '#', '%', '?', '\\', 127:
		return true
	}
	return r < 32
}

// encodeMetadata escapes names and values in the same way as azureblob of the
// Go CDK, which reads them.
func encodeMetadata(meta map[string]string) map[string]*string {
	m := make(map[string]*string, len(meta))
	for k, v := range meta {
		k = cloudhttp.EscapeName(k, func(i int, r rune) bool {
			switch {
			case r >= '0' && r <= '9':
				return i == 0
			case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_':
				return false
			}
			return true
		})
		v = cloudhttp.EscapeValue(v)
		m[k] = &v
	}
	return m
}

// decodeMetadata reverses encodeMetadata. The service returns names as headers,
// with an added capital letter.
func decodeMetadata(meta map[string]*string) map[string]string {
	m := make(map[string]string, len(meta))
	for k, v := range meta {
		if v != nil {
			m[strings.ToLower(cloudhttp.UnescapeName(strings.ToLower(k)))] = cloudhttp.UnescapeValue(*v)
		}
	}
	return m
}
