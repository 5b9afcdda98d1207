package blobstore

import (
	"context"
	"iter"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// SkippedFile is a file in the bucket that is not an object, and that [Store.List]
// therefore leaves out.
type SkippedFile struct {
	Path   string // relative to the bucket, with slashes; perhaps not valid UTF-8
	Reason string // such as "symbolic link"
}

// Skipped yields the files below prefix that no key leads to: on local folders,
// files that other programs have put there as symbolic links, sockets, pipes or
// devices, and files and folders with names that no key can have. A folder is
// yielded in place of its content. Other backends have none. The error ends it.
//
// Skipped is authorized and recorded as List is.
func (s *Store) Skipped(ctx context.Context, prefix string) iter.Seq2[SkippedFile, error] {
	return func(yield func(SkippedFile, error) bool) {
		fail := func(err error) { yield(SkippedFile{}, &Error{Op: "list", Key: prefix, Err: err}) }
		if err := s.enter(ctx, &audit.Event{Action: audit.ActionList, Key: prefix}); err != nil {
			fail(err)
			return
		}
		defer s.leave()
		stopped := false
		err := s.skipped(ctx, prefix, 0, func(path, reason string) bool {
			stopped = !yield(SkippedFile{path, reason}, nil)
			return !stopped
		})
		if err != nil && !stopped {
			fail(ended(ctx, err))
		}
	}
}

// skipped is Skipped without the checks. If limit is not 0, it looks at about as
// many files only.
func (s *Store) skipped(ctx context.Context, prefix string, limit int, found func(path, reason string) bool) error {
	b, ok := s.bucket.(provider.Skipper)
	if !ok {
		return nil
	}
	return b.Skipped(ctx, prefix, limit, found)
}
