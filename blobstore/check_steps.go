package blobstore

// This file implements the steps of Check that test conditional requests, and
// the advice for failures.

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

// advice returns a suggested fix for the error of a step, or "".
func advice(ctx context.Context, need string, err error) string {
	switch disk := diskAdvice(err); {
	case errors.Is(err, ErrNoBucket):
		return "the bucket or folder of the store does not exist: mount its volume, restore it, or create it again"
	case errors.Is(err, ErrPath):
		return "part of the path is not an ordinary folder: check it for symbolic links"
	case disk != "":
		return disk
	case errors.Is(err, fs.ErrPermission) && isErrno(err):
		if need == "" {
			need = "access to the folder"
		}
		return "permission denied: check the owner and the mode of the folder; the program needs " + need
	case errors.Is(err, fs.ErrPermission) && need != "":
		return "permission denied: check the credentials; they need " + need
	case errors.Is(err, fs.ErrPermission):
		return "permission denied: check the credentials and their permissions"
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no response within %v: check the address and the network", checkTimeout)
	case isNetwork(err):
		return "cannot reach the service: check the address and the network"
	case isErrno(err):
		return "the file system failed: check the disk and the system log"
	}
	return ""
}

// diskAdvice returns a suggested fix for an error number of the file system, or
// "".
func diskAdvice(err error) string {
	for _, d := range []struct {
		errno  syscall.Errno
		advice string
	}{
		{syscall.ENOSPC, "the disk is full: free some space or inodes"},
		{syscall.EDQUOT, "the disk quota is exhausted: free some space or raise the quota"},
		{syscall.EROFS, "the file system is mounted read-only: mount it for writing, and look for disk errors in the system log"},
		{syscall.EMFILE, "too many open files: raise the limit of this process (ulimit -n)"},
		{syscall.ENFILE, "too many open files on this machine: raise the system's limit (fs.file-max)"},
		{syscall.EIO, "input/output error: the disk or its connection is failing"},
		{syscall.ESTALE, "the network file system lost this folder: mount it again"},
		{syscall.ENAMETOOLONG, "the file system does not support the name lengths of keys: want 255 bytes"},
		{syscall.ELOOP, "too many levels of symbolic links: remove the loop"},
	} {
		if errors.Is(err, d.errno) {
			return d.advice
		}
	}
	return ""
}

// isErrno reports whether err is an error of the operating system, except for
// network errors.
func isErrno(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && !isNetwork(err)
}

// isNetwork reports whether err is a network error. Every syscall.Errno
// implements net.Error, so an Errno alone is not sufficient.
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
	noCreateOnly = "the service does not implement create-only writes (If-None-Match), so uploads could replace objects: " +
		"update it, or use another service"
	ignoresCreateOnly = "the service ignores the condition of create-only writes (If-None-Match), so uploads could replace objects: " +
		"update it, or use another service"
	copyAdvice = "the service does not support conditional copies within the bucket: update it, or use another service"
)

// createCanary writes the object a second time. The create-only condition must
// fail.
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

// copyCanary copies the object onto itself under two conditions. Both must
// fail.
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
	case errors.Is(err, fs.ErrPermission): // the service refused to abort the multipart upload
		return &CheckError{"copy", advice(ctx, s.bucket.Info().Needs["sweep"], err), err}
	}
	s.observeCreateOnly(true)
	err = s.bucket.Copy(ctx, c.key, c.key, &driver.CopyOptions{IfMatch: otherETag})
	if err == nil {
		return &CheckError{"copy", copyAdvice, errors.New("a conditional copy copied a different version of the object")}
	}
	if errors.Is(err, ErrReplaced) {
		return nil
	}
	return err
}

// otherETag is an ETag that no object has.
const otherETag = `"0x0B10B7A11B10B7A"`

// keepCanary attempts to delete a different version of the object. The
// condition must fail.
func (s *Store) keepCanary(ctx context.Context, c *canary) error {
	err := s.bucket.Delete(ctx, c.key, &driver.DeleteOptions{IfMatch: otherETag})
	if errors.Is(err, ErrReplaced) {
		return nil
	}
	if err == nil {
		return &CheckError{"delete", "the service ignores the condition of a deletion (If-Match): update it, or use another service",
			errors.New("a conditional deletion removed a different version of the object")}
	}
	return err
}

// observeCreateOnly passes the observed behavior of the service to the bucket.
func (s *Store) observeCreateOnly(holds bool) {
	if o, ok := s.bucket.(provider.Observer); ok {
		o.ObserveCreateOnly(holds)
	}
}

const (
	warnAfter = 10_000 // bounds the files checked by warnSkipped
	warnNames = 5      // bounds the file names in its warning
)

// warnSkipped logs a warning if the bucket contains files that are not objects.
// It does so at most once per store.
func (s *Store) warnSkipped(ctx context.Context) {
	s.warned.Do(func() {
		var names []string
		n := 0
		_ = s.skipped(ctx, "", warnAfter, func(path, reason string) bool { // List reports the error
			if n++; len(names) < warnNames {
				names = append(names, fmt.Sprintf("%.300q (%s)", path, reason))
			}
			return true
		})
		if n > 0 {
			slog.WarnContext(ctx, "blobstore: the bucket contains files that are not objects; they are neither served nor copied",
				"bucket", s.bucket.Info().Bucket, "files", n, "such_as", names)
		}
	})
}
