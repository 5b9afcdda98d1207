package blobstore

import (
	"context"
	"iter"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
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
		for f, err := range s.skipped(ctx, prefix, 0) {
			if err != nil {
				fail(ended(ctx, err))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// skipped is Skipped without the checks. If limit is not 0, it looks at about as
// many files only.
func (s *Store) skipped(ctx context.Context, prefix string, limit int) iter.Seq2[SkippedFile, error] {
	return func(yield func(SkippedFile, error) bool) {
		b, ok := s.bucket.(driver.Skipper)
		if !ok {
			return
		}
		for f, err := range b.Skipped(ctx, prefix, limit) {
			if !yield(SkippedFile(f), err) || err != nil {
				return
			}
		}
	}
}
