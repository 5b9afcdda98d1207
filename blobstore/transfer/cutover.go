package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"sync/atomic"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// Cutover stands in for a store while its objects move to another one and the
// application goes on:
//
//  1. Make a Cutover of both. It writes to both; Old is what counts, and what is
//     read.
//  2. Copy what is there already, with [Copy], as often as is needed.
//  3. Call Switch: New is what counts now, and what is read; Old still gets every
//     write, and serves what New does not have.
//  4. Call Switch again to roll back, any time; nothing is lost, because both
//     have every write.
//  5. When nothing was read from Old for long enough, which its trail tells, use
//     New alone.
//
// The zero value is not usable: set both stores. All methods may be called
// concurrently. It closes neither store.
type Cutover struct {
	Old, New *blobstore.Store

	switched atomic.Bool
}

// ErrBehind: the store that counts has the change, the other one does not. The
// application may go on; Copy, with Overwrite, or Delete makes up for it.
var ErrBehind = errors.New("the other store did not follow")

// Switch changes which store counts, and reports whether it is New now.
func (c *Cutover) Switch() (isNew bool) {
	for {
		was := c.switched.Load()
		if c.switched.CompareAndSwap(was, !was) {
			return !was
		}
	}
}

// stores returns the store that counts, and the other one.
func (c *Cutover) stores() (first, second *blobstore.Store) {
	if c.switched.Load() {
		return c.New, c.Old
	}
	return c.Old, c.New
}

// Upload stores the content in both stores: in the one that counts from r, and in
// the other one from there. If only the latter failed, object and error are both
// not nil, and the error wraps [ErrBehind]. A link that opts ask for is one of the
// store that counts; if it can't be had, object and error are both not nil too.
func (c *Cutover) Upload(ctx context.Context, key string, r io.Reader, opts *blobstore.UploadOptions) (*blobstore.Object, error) {
	first, second := c.stores()
	if opts == nil || !opts.Overwrite {
		// A key is taken if either store has it.
		if _, err := second.Stat(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			return nil, &blobstore.Error{Op: "upload", Key: key, Err: cmp.Or(err, fs.ErrExist)}
		}
	}
	obj, err := first.Upload(ctx, key, r, opts)
	if obj == nil {
		return nil, err
	}
	// Stored it is, also if the link that opts ask for could not be had.
	follow := &copier{dst: second, src: first}
	follow.Overwrite = opts != nil && opts.Overwrite
	if opts != nil {
		resource := opts.Resource
		follow.Resource = func(*blobstore.Object) audit.Resource { return resource }
	}
	if behind := follow.copy(ctx, obj, key); behind != nil {
		err = errors.Join(fmt.Errorf("%w: %w", ErrBehind, behind), err)
	}
	return obj, err
}

// Download reads from the store that counts, or, if the object is not there, from
// the other one.
func (c *Cutover) Download(ctx context.Context, key string, opts *blobstore.DownloadOptions) (*blobstore.Reader, error) {
	return fallBack(c, func(s *blobstore.Store) (*blobstore.Reader, error) { return s.Download(ctx, key, opts) })
}

// Stat describes the object of the store that counts, or that of the other one.
func (c *Cutover) Stat(ctx context.Context, key string) (*blobstore.Object, error) {
	return fallBack(c, func(s *blobstore.Store) (*blobstore.Object, error) { return s.Stat(ctx, key) })
}

// Link issues a link of the store that counts, or, if the object is not there, of
// the other one. Links to upload or delete are [blobstore.ErrUnsupported], since
// what they change would be in one store only.
func (c *Cutover) Link(ctx context.Context, key string, opts *blobstore.LinkOptions) (*blobstore.Link, error) {
	if opts != nil && opts.Method != "" && opts.Method != http.MethodGet && opts.Method != http.MethodHead {
		return nil, fmt.Errorf("transfer: %w: a %s link while two stores are written to", blobstore.ErrUnsupported, opts.Method)
	}
	return fallBack(c, func(s *blobstore.Store) (*blobstore.Link, error) {
		if _, err := s.Stat(ctx, key); err != nil {
			return nil, err
		}
		return s.Link(ctx, key, opts)
	})
}

// Delete deletes the object from both stores, first from the one that does not
// count, so that none comes back by falling back. It is fs.ErrNotExist if neither
// has it.
func (c *Cutover) Delete(ctx context.Context, key string, opts *blobstore.DeleteOptions) error {
	first, second := c.stores()
	other := second.Delete(ctx, key, opts)
	if other != nil && !errors.Is(other, fs.ErrNotExist) {
		return other
	}
	err := first.Delete(ctx, key, opts)
	if errors.Is(err, fs.ErrNotExist) && other == nil {
		return nil // it had not been copied yet, or was not copied back
	}
	return err
}

func fallBack[T any](c *Cutover, get func(*blobstore.Store) (T, error)) (T, error) {
	first, second := c.stores()
	v, err := get(first)
	if errors.Is(err, fs.ErrNotExist) {
		if other, err := get(second); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return other, err
		}
	}
	return v, err
}
