package s3store

// This file implements multipart uploads: running them, ending them after a
// failure, and distinguishing an upload of a killed process from a slow one.

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

// beatParts are the numbers of the two parts that a live writer sends in turn.
// One of them is always listed: some services omit a part from listings while
// it is being replaced.
var beatParts = [2]int32{maxParts + 1, maxParts + 2}

// upload is a running multipart upload. Its methods are not safe for concurrent
// use.
type upload struct {
	b    *bucket
	key  *string
	id   *string
	done []types.CompletedPart

	mu       sync.Mutex
	lastSent time.Time
	ended    chan struct{} // closed when no further beat may begin
	beats    sync.WaitGroup
}

func (b *bucket) startUpload(ctx context.Context, in *s3.CreateMultipartUploadInput) (*upload, error) {
	out, err := b.client.CreateMultipartUpload(ctx, in)
	if unanswered(err) || err == nil && tries(out.ResultMetadata) > 1 {
		// An attempt without a response may have created an upload with an
		// unknown ID.
		b.sweepLater(*in.Key)
	}
	if err != nil {
		return nil, err
	}
	if aws.ToString(out.UploadId) == "" {
		return nil, fmt.Errorf("%w: the response to CreateMultipartUpload has no ID, so the service does not support multipart uploads", errors.ErrUnsupported)
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
		return types.CompletedPart{}, errors.New("the response to UploadPart has no ETag")
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

// beat sends a part, which never belongs to the object, while a slow source
// sends nothing else. It shows other processes that the writer is alive.
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
			// Do not cancel this request with ctx: a part that arrives after
			// the end of the upload may restore it. If this beat fails, the
			// next one may succeed. If none succeeds, the upload is swept and
			// its writer gets an error.
			once, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
			_, _ = u.putNumber(once, beatParts[n%len(beatParts)], []byte{0})
			cancel()
			n++
		}
	}
}

// finish completes the upload, and the object appears. If cause is not nil,
// finish aborts the upload.
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
		return fmt.Errorf("%w; its parts remain until they are swept: %w", cause, err)
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

// Sweep implements [driver.Bucket]. It aborts the multipart uploads of key
// without a new part for Options.StaleAfter, by the clock of the service.
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

// sweepLater sweeps key as soon as all uploads begun so far are stale, unless
// the bucket is closed first.
func (b *bucket) sweepLater(key string) {
	b.later.Lock()
	defer b.later.Unlock()
	if b.later.closed {
		return
	}
	if b.later.timers == nil {
		b.later.timers = make(map[string]*time.Timer)
	}
	wait := b.opts.StaleAfter + 2*time.Second // the service may round times to seconds
	if t := b.later.timers[key]; t != nil {
		t.Reset(wait)
		return
	}
	b.later.timers[key] = time.AfterFunc(wait, func() {
		b.later.Lock()
		delete(b.later.timers, key)
		b.later.Unlock()
		_ = b.Sweep(context.Background(), key) // uploads it cannot abort are left to the bucket's lifecycle rule
	})
}

// endLater cancels all calls scheduled by sweepLater.
func (b *bucket) endLater() {
	b.later.Lock()
	defer b.later.Unlock()
	b.later.closed = true
	for _, t := range b.later.timers {
		t.Stop()
	}
	clear(b.later.timers)
}

// unanswered reports whether a request failed without a response, or with a
// server error.
func unanswered(err error) bool {
	var re *awshttp.ResponseError
	if errors.As(err, &re) && re.HTTPStatusCode() != 0 {
		return re.HTTPStatusCode() >= 500
	}
	return err != nil
}

// tries returns the number of attempts of a request.
func tries(m middleware.Metadata) int {
	r, _ := retry.GetAttemptResults(m)
	return len(r.Results)
}

// lastSent returns the time of the last part of an upload.
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

// serverTime returns the current time of the service.
func serverTime(m middleware.Metadata) time.Time {
	if t, ok := awsmiddleware.GetServerTime(m); ok {
		return t
	}
	return time.Now()
}
