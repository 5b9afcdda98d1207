package blobstore

import (
	"context"
	"iter"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// SkippedFile is a file in the bucket that is not an object, so [Store.List]
// omits it.
type SkippedFile struct {
	Path   string // relative to the bucket, with slashes; not necessarily valid UTF-8
	Reason string // such as "symbolic link"
}

// Skipped yields the files below prefix that are not objects. On local folders
// these are symbolic links, sockets, pipes and devices created by other
// programs, and files and folders whose names are not valid in a key. A folder
// is yielded instead of its content. Other backends have no such files. Skipped
// ends after the first error.
//
// Skipped is authorized and recorded like [Store.List].
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

// skipped implements Skipped without authorization. If limit is not 0, it
// visits about that many files.
func (s *Store) skipped(ctx context.Context, prefix string, limit int, found func(path, reason string) bool) error {
	b, ok := s.bucket.(provider.Skipper)
	if !ok {
		return nil
	}
	return b.Skipped(ctx, prefix, limit, found)
}
