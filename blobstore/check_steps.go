package blobstore

// This file implements the steps of Check that try the conditions of a service,
// and the advice for failures.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"syscall"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

// advice returns the remedy for the error of a step, or "".
func advice(ctx context.Context, need string, err error) string {
	switch disk := diskAdvice(err); {
	case errors.Is(err, ErrNoBucket):
		return "the bucket or folder of the store doesn't exist (any more): mount its volume, restore it, or create it anew"
	case errors.Is(err, ErrPath):
		return "a part of the path is not an ordinary folder"
	case disk != "":
		return disk
	case errors.Is(err, fs.ErrPermission) && isErrno(err):
		if need == "" {
			need = "access to the folder"
		}
		return "permission denied: check the owner and the mode of the folder; what is needed is " + need
	case errors.Is(err, fs.ErrPermission) && need != "":
		return "it was refused: check the credentials; what is needed is " + need
	case errors.Is(err, fs.ErrPermission):
		return "it was refused: check the credentials and what they are allowed"
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("there was no answer within %v: check address and network", checkTimeout)
	case isNetwork(err):
		return "the service can't be reached: check address and network"
	case isErrno(err):
		return "the file system failed: check the disk and the system's log"
	}
	return ""
}

// diskAdvice returns the meaning of a file system's error number, or "".
func diskAdvice(err error) string {
	for _, d := range []struct {
		errno  syscall.Errno
		advice string
	}{
		{syscall.ENOSPC, "the disk is full: free some space, or some inodes"},
		{syscall.EDQUOT, "the disk quota is used up: free some space, or raise the quota"},
		{syscall.EROFS, "the file system is mounted read-only: mount it for writing, and look for disk errors in the system's log"},
		{syscall.EMFILE, "too many open files: raise the limit of this process (ulimit -n)"},
		{syscall.ENFILE, "too many open files on this machine: raise the system's limit (fs.file-max)"},
		{syscall.EIO, "input/output error: the disk or its connection is failing"},
		{syscall.ESTALE, "the network file system lost this folder: mount it anew"},
		{syscall.ENAMETOOLONG, "the file system doesn't take names of the length that keys can have: want 255 bytes"},
		{syscall.ELOOP, "too many levels of symbolic links"},
	} {
		if errors.Is(err, d.errno) {
			return d.advice
		}
	}
	return ""
}

// isErrno reports whether err comes from the operating system, but not from its
// network.
func isErrno(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && !isNetwork(err)
}

// isNetwork reports whether err comes from the network. An error number
// satisfies net.Error as well, whatever it is of.
func isNetwork(err error) bool {
	if errors.As(err, new(*net.OpError)) || errors.As(err, new(*net.DNSError)) || errors.As(err, new(*url.Error)) {
		return true
	}
	var ne net.Error
	if !errors.As(err, &ne) {
		return false
	}
	_, errno := ne.(syscall.Errno)
	return !errno
}

func (s *Store) writeCanary(ctx context.Context, c *canary) error {
	err := s.putCanary(ctx, c, true)
	if errors.Is(err, ErrUnsupported) && s.putCanary(ctx, c, false) == nil {
		s.observeCreateOnly(false)
		return &CheckError{"create", noCreateOnly, err}
	}
	return err
}

func (s *Store) putCanary(ctx context.Context, c *canary, createOnly bool) error {
	return s.bucket.Write(ctx, c.key, bytes.NewReader(c.content), &driver.WriteOptions{
		IfNotExist: createOnly, Size: int64(len(c.content)), ContentType: "text/plain",
		Metadata: map[string]string{provider.MetaOp: c.id},
	})
}

const (
	noCreateOnly = "the service does not implement create-only writes (If-None-Match), so that uploads can't be kept from replacing objects: " +
		"update it, or use another service"
	ignoresCreateOnly = "the service ignores the condition of create-only writes (If-None-Match), so that an upload can replace an object: " +
		"update it, or use another service"
	copyAdvice = "the service can't copy within the bucket as this store needs it: update it, or use another service"
)

// createCanary writes the object a second time, create-only.
func (s *Store) createCanary(ctx context.Context, c *canary) error {
	err := s.putCanary(ctx, c, true)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err == nil:
		s.observeCreateOnly(false)
		return &CheckError{"create", ignoresCreateOnly, errors.New("a second create-only write replaced the object")}
	case errors.Is(err, ErrUnsupported):
		s.observeCreateOnly(false)
		return &CheckError{"create", noCreateOnly, err}
	}
	return err
}

// copyCanary copies the object onto itself, which neither of two conditions
// allows.
func (s *Store) copyCanary(ctx context.Context, c *canary) error {
	err := s.bucket.Copy(ctx, c.key, c.key, &driver.CopyOptions{IfNotExist: true})
	switch {
	case err == nil:
		s.observeCreateOnly(false)
		return &CheckError{"copy", ignoresCreateOnly, errors.New("a create-only copy replaced the object")}
	case errors.Is(err, ErrUnsupported):
		s.observeCreateOnly(false)
		return &CheckError{"copy", copyAdvice, err}
	case !errors.Is(err, fs.ErrExist):
		return err
	case errors.Is(err, fs.ErrPermission): // the service refuses to abort the upload
		return &CheckError{"copy", advice(ctx, s.bucket.Info().Needs["sweep"], err), err}
	}
	s.observeCreateOnly(true)
	err = s.bucket.Copy(ctx, c.key, c.key, &driver.CopyOptions{IfMatch: otherETag})
	if err == nil {
		return &CheckError{"copy", copyAdvice, errors.New("a copy of another version of the object was made")}
	}
	if errors.Is(err, ErrReplaced) {
		return nil
	}
	return err
}

// otherETag is the ETag of no object.
const otherETag = `"0x0B10B7A11B10B7A"`

// keepCanary tries to delete another version of the object.
func (s *Store) keepCanary(ctx context.Context, c *canary) error {
	err := s.bucket.Delete(ctx, c.key, &driver.DeleteOptions{IfMatch: otherETag})
	if errors.Is(err, ErrReplaced) {
		return nil
	}
	if err == nil {
		return &CheckError{"delete", "the service ignores the condition of a deletion (If-Match): update it, or use another service",
			errors.New("the deletion of another version removed the object")}
	}
	return err
}

// observeCreateOnly reports the service's behavior to the bucket.
func (s *Store) observeCreateOnly(holds bool) {
	if o, ok := s.bucket.(provider.Observer); ok {
		o.ObserveCreateOnly(holds)
	}
}

const (
	warnAfter = 10_000 // files that warnSkipped looks at, at most
	warnNames = 5      // files that its warning names
)

// warnSkipped logs, once for each store, that the bucket holds files that are
// not objects.
func (s *Store) warnSkipped(ctx context.Context) {
	s.warned.Do(func() {
		var names []string
		n := 0
		_ = s.skipped(ctx, "", warnAfter, func(path, reason string) bool { // the listing reports the error
			if n++; len(names) < warnNames {
				names = append(names, fmt.Sprintf("%.300q (%s)", path, reason))
			}
			return true
		})
		if n > 0 {
			slog.WarnContext(ctx, "blobstore: the bucket holds files that are not objects, which are neither served nor copied",
				"bucket", s.bucket.Info().Bucket, "files", n, "such_as", names)
		}
	})
}
