package s3store

// Multipart uploads: their life, their end when something fails, and how one
// that a killed process left is told from one that is only slow.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
)

const abortTimeout = 15 * time.Second

// beatParts are the numbers of the parts that show, in turn, that a writer lives.
// Of two one is always there: a part that is being written anew is missing from
// the listings of some services meanwhile.
var beatParts = [2]int32{maxParts + 1, maxParts + 2}

// upload is a multipart upload that is running. Its methods are not safe for
// concurrent use.
type upload struct {
	b    *bucket
	key  *string
	id   *string
	done []types.CompletedPart

	mu       sync.Mutex
	lastSent time.Time
	ended    chan struct{} // closed when no beat is to begin any more
	beats    sync.WaitGroup
}

func (b *bucket) startUpload(ctx context.Context, in *s3.CreateMultipartUploadInput) (*upload, error) {
	out, err := b.client.CreateMultipartUpload(ctx, in)
	if unanswered(err) || err == nil && tries(out.ResultMetadata) > 1 {
		// A try that got no answer may have begun an upload that nobody knows.
		b.sweepLater(*in.Key)
	}
	if err != nil {
		return nil, err
	}
	if aws.ToString(out.UploadId) == "" {
		return nil, fmt.Errorf("%w: the service answered CreateMultipartUpload without an id, so that it doesn't know multipart uploads", errors.ErrUnsupported)
	}
	u := &upload{b: b, key: in.Key, id: out.UploadId, lastSent: time.Now(), ended: make(chan struct{})}
	u.beats.Go(func() { u.beat(ctx) })
	return u, nil
}

// put sends the next part.
func (u *upload) put(ctx context.Context, content []byte) error {
	number := int32(len(u.done) + 1)
	done, err := u.putNumber(ctx, number, content)
	if err == nil {
		u.done = append(u.done, done)
	}
	return err
}

func (u *upload) putNumber(ctx context.Context, number int32, content []byte) (types.CompletedPart, error) {
	sum := sha256.Sum256(content)
	in := &s3.UploadPartInput{
		Bucket: &u.b.name, Key: u.key, UploadId: u.id, PartNumber: &number,
		Body: bytes.NewReader(content), ContentLength: aws.Int64(int64(len(content))),
	}
	if u.b.sum {
		in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	}
	out, err := u.b.client.UploadPart(ctx, in, withPayloadHash(sum[:]))
	if err != nil {
		return types.CompletedPart{}, err
	}
	if out.ETag == nil {
		return types.CompletedPart{}, errors.New("the service answered UploadPart without an ETag")
	}
	u.sent()
	return types.CompletedPart{PartNumber: &number, ETag: out.ETag, ChecksumSHA256: in.ChecksumSHA256}, nil
}

// putCopy copies the next part from another object.
func (u *upload) putCopy(ctx context.Context, in *s3.UploadPartCopyInput) error {
	in.Bucket, in.Key, in.UploadId, in.PartNumber = &u.b.name, u.key, u.id, aws.Int32(int32(len(u.done)+1))
	out, err := u.b.client.UploadPartCopy(ctx, in)
	if err != nil {
		return err
	}
	u.sent()
	r := out.CopyPartResult
	if r == nil || r.ETag == nil {
		return errNoCopy("UploadPartCopy")
	}
	u.done = append(u.done, types.CompletedPart{
		PartNumber: in.PartNumber, ETag: r.ETag, ChecksumSHA256: r.ChecksumSHA256,
		ChecksumCRC32: r.ChecksumCRC32, ChecksumCRC32C: r.ChecksumCRC32C, ChecksumCRC64NVME: r.ChecksumCRC64NVME, ChecksumSHA1: r.ChecksumSHA1,
	})
	return nil
}

func (u *upload) sent() {
	u.mu.Lock()
	u.lastSent = time.Now()
	u.mu.Unlock()
}

// beat shows, while nothing else is sent because the source is slow, that the
// writer lives: it sends a part that never becomes part of the object.
func (u *upload) beat(ctx context.Context) {
	pause := u.b.opts.StaleAfter / 3
	tick := time.NewTicker(pause / 2)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-u.ended:
			return
		case <-tick.C:
		}
		u.mu.Lock()
		quiet := time.Since(u.lastSent)
		u.mu.Unlock()
		if quiet >= pause/2 {
			// It is not cut off: a part that comes in when the upload has ended
			// may bring it back. If it fails, the next one may not; if none
			// succeeds, the upload is swept and its writer gets an error.
			once, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
			_, _ = u.putNumber(once, beatParts[n%len(beatParts)], []byte{0})
			cancel()
			n++
		}
	}
}

// finish makes the object appear, or aborts the upload if there is a cause to.
func (u *upload) finish(ctx context.Context, ifNotExist bool, cause error) error {
	close(u.ended)
	u.beats.Wait()
	if cause == nil && ctx.Err() != nil {
		cause = context.Cause(ctx)
	}
	if cause == nil {
		in := &s3.CompleteMultipartUploadInput{
			Bucket: &u.b.name, Key: u.key, UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.done},
		}
		if ifNotExist {
			in.IfNoneMatch = aws.String("*")
		}
		if _, cause = u.b.client.CompleteMultipartUpload(ctx, in); cause == nil {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := u.b.abort(ctx, u.key, u.id); err != nil {
		if refused := u.b.mapError(err); errors.Is(refused, fs.ErrPermission) {
			err = refused
		}
		return fmt.Errorf("%w; and its parts stay until they are swept: %w", cause, err)
	}
	return cause
}

func (b *bucket) abort(ctx context.Context, key, id *string) error {
	_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: key, UploadId: id})
	if code(err) == "NoSuchUpload" {
		return nil
	}
	return err
}

// Sweep implements [driver.Bucket]: it aborts the multipart uploads of key on
// which nothing was sent for Options.StaleAfter, by the service's own clock.
func (b *bucket) Sweep(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	pages := s3.NewListMultipartUploadsPaginator(b.client, &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &key})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			if c := code(err); c == "NoSuchUpload" || c == "NotImplemented" {
				return nil
			}
			return b.mapError(err)
		}
		now := serverTime(page.ResultMetadata)
		for _, u := range page.Uploads {
			if aws.ToString(u.Key) != key {
				continue
			}
			last, err := b.lastSent(ctx, u)
			if err == nil && now.Sub(last) >= b.opts.StaleAfter {
				err = b.abort(ctx, u.Key, u.UploadId)
			}
			if err != nil && code(err) != "NoSuchUpload" {
				return b.mapError(err)
			}
		}
	}
	return nil
}

// sweepLater sweeps key when what has been begun there until now is stale, unless
// the bucket is closed before.
func (b *bucket) sweepLater(key string) {
	b.later.Lock()
	defer b.later.Unlock()
	if b.later.closed {
		return
	}
	if b.later.timers == nil {
		b.later.timers = make(map[string]*time.Timer)
	}
	wait := b.opts.StaleAfter + 2*time.Second // the service's times may be whole seconds
	if t := b.later.timers[key]; t != nil {
		t.Reset(wait)
		return
	}
	b.later.timers[key] = time.AfterFunc(wait, func() {
		b.later.Lock()
		delete(b.later.timers, key)
		b.later.Unlock()
		_ = b.Sweep(context.Background(), key) // what it can't abort is left to the bucket's lifecycle rule
	})
}

// endLater ends what sweepLater has begun.
func (b *bucket) endLater() {
	b.later.Lock()
	defer b.later.Unlock()
	b.later.closed = true
	for _, t := range b.later.timers {
		t.Stop()
	}
	clear(b.later.timers)
}

// unanswered reports whether a request failed without an answer that says so.
func unanswered(err error) bool {
	var re *awshttp.ResponseError
	if errors.As(err, &re) && re.HTTPStatusCode() != 0 {
		return re.HTTPStatusCode() >= 500
	}
	return err != nil
}

// tries returns how often a request was sent.
func tries(m middleware.Metadata) int {
	r, _ := retry.GetAttemptResults(m)
	return len(r.Results)
}

// lastSent returns when the last part of an upload came in.
func (b *bucket) lastSent(ctx context.Context, u types.MultipartUpload) (time.Time, error) {
	last := aws.ToTime(u.Initiated)
	pages := s3.NewListPartsPaginator(b.client, &s3.ListPartsInput{Bucket: &b.name, Key: u.Key, UploadId: u.UploadId})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return last, err
		}
		for _, p := range page.Parts {
			if t := aws.ToTime(p.LastModified); t.After(last) {
				last = t
			}
		}
	}
	return last, nil
}

// serverTime returns the service's idea of now.
func serverTime(m middleware.Metadata) time.Time {
	if t, ok := awsmiddleware.GetServerTime(m); ok {
		return t
	}
	return time.Now()
}
