package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/cloudhttp"
	"github.com/blobtrail/blobtrail/internal/keyrule"
	"github.com/blobtrail/blobtrail/internal/progress"
	"github.com/blobtrail/blobtrail/internal/provider"
)

const (
	canaryPrefix = keyrule.Private + "/check/"
	checkTimeout = 5 * time.Second
)

// CheckError reports the failed step of [Store.Check]. It is wrapped in an
// [*Error].
type CheckError struct {
	// Step is the failed step: trail, write, read, list, sweep, create, copy,
	// sign, fetch or delete.
	Step string
	// Advice suggests a fix, such as granting s3:PutObject. It is empty if Err
	// is sufficient.
	Advice string
	Err    error // never nil
}

func (e *CheckError) Error() string {
	if e.Advice == "" {
		return e.Step + ": " + e.Err.Error()
	}
	return e.Step + ": " + e.Advice + ": " + e.Err.Error()
}

func (e *CheckError) Unwrap() error { return e.Err }

// Check tests whether the store is operational. It writes a small object under
// a private key, reads it, runs a listing, and looks for leftovers of killed
// processes. It attempts to create, copy and delete the object under conditions
// that do not hold. It signs a link, fetches the object through the link, and
// deletes the object.
//
// If a step fails, the error wraps a [*CheckError] with the name of the step
// and a suggested fix. If the store is closed, the error is [ErrClosed] and not
// a CheckError.
//
// Call Check at program start and in readiness probes, but not for every
// request: it makes about fifteen requests to the service.
//
// A service that ignores the condition of a create-only write fails the check,
// because a second upload could replace an object without a trace. For a
// service that only implements the protocol of another service, [Store.Info]
// reports ExactCreate and create-only links only after a Check in which the
// service refused such a write.
//
// The first Check of a store also looks for files that are not objects, such as
// symbolic links (see [Store.Skipped]), among the first 10,000 files. If it
// finds any, it logs a warning with package slog.
//
// Check takes at most 5 seconds, plus the time that the trail needs to settle
// its record. It acts on behalf of the program: it needs no actor, does not
// call Options.Authorize, and is recorded as [audit.ActionCheck].
//
// A link for the program's own handler is signed and verified but not fetched.
//
// If the object cannot be deleted, the error also wraps [ErrInDoubt]. The next
// Check of this store deletes that object before it writes a new one.
// [Store.Reconcile] deletes it as well.
//
// Check cannot detect problems that only clients see: whether the service
// accepts requests from other origins (CORS), and whether clients can reach a
// public endpoint.
func (s *Store) Check(ctx context.Context) error {
	ctx, span := s.trace(ctx, audit.ActionCheck)
	if err := span.end(s.check(ctx)); err != nil {
		return &Error{Op: "check", Err: err}
	}
	return nil
}

func (s *Store) check(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	defer s.leave()
	actor, ok := audit.ActorFrom(ctx)
	if !ok {
		actor = s.opts.DefaultActor
	}
	info := s.bucket.Info()
	id := newOpID()
	e := audit.Event{OpID: id, Action: audit.ActionCheck, Actor: actor, Key: canaryPrefix + id, Backend: info.Backend, Bucket: info.Bucket}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := s.clearLeft(ctx, e); err != nil {
		return err
	}
	var begun audit.Intent
	s.warnSkipped(ctx)
	err := s.change(ctx, e, func(ctx context.Context, intent audit.Intent) (effect, error) {
		begun = intent
		return effect{}, s.tryOut(ctx, &canary{key: e.Key, id: id, content: []byte("blobtrail check " + id)})
	})
	if errors.Is(err, ErrInDoubt) {
		s.swapLeft(begun)
	}
	if err != nil && !errors.As(err, new(*CheckError)) {
		return noTrail(err)
	}
	return err
}

func noTrail(err error) error {
	advice := "check its database"
	if disk := diskAdvice(err); disk != "" {
		advice = disk
	}
	return &CheckError{Step: "trail", Advice: "cannot write the trail: " + advice, Err: err}
}

// swapLeft remembers the check with an object that could not be deleted, and
// returns the previous one.
func (s *Store) swapLeft(check audit.Intent) (before audit.Intent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.left = s.left, check
	return before
}

// clearLeft deletes the object left by an earlier check and settles that check.
// Repeated checks therefore leave at most one object and one open intent. If
// the object cannot be deleted, the check e fails with that error.
func (s *Store) clearLeft(ctx context.Context, e audit.Event) error {
	intent := s.swapLeft(nil)
	if intent == nil {
		return nil
	}
	err := s.hold(ctx, intent, func(ctx context.Context, intent audit.Intent) (effect, error) {
		if err := s.renew(ctx, intent); err != nil {
			return effect{open: true}, err
		}
		e.Key = intent.Event().Key
		if err := s.bucket.Delete(ctx, e.Key, &driver.DeleteOptions{}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return effect{}, &CheckError{"delete", advice(ctx, s.bucket.Info().Needs["delete"], err), provider.As(ErrInDoubt, err)}
		}
		return effect{result: interrupted}, nil
	})
	if err == nil || errors.Is(err, audit.ErrNotHeld) {
		return nil // or a reconciler has already settled it
	}
	s.swapLeft(intent)
	if errors.As(err, new(*CheckError)) {
		return s.record(ctx, e, err)
	}
	return noTrail(err)
}

// interrupted is the result of an operation that its process did not finish and
// that left no object.
var interrupted = audit.Result{Outcome: audit.OutcomeFailed, ErrorCode: "interrupted"}

// canary is the small object written by a check.
type canary struct {
	key, id string
	content []byte
}

// tryOut runs the steps of a check with the canary, and finally deletes the
// canary.
func (s *Store) tryOut(ctx context.Context, c *canary) error {
	needs := s.bucket.Info().Needs
	var failed *CheckError
	for _, step := range []struct {
		name, need string
		do         func(context.Context, *canary) error
	}{
		{"write", needs["write"], s.writeCanary},
		{"read", needs["read"], s.readCanary},
		{"list", needs["list"], s.listCanary},
		{"sweep", needs["sweep"], func(ctx context.Context, c *canary) error { return s.bucket.Sweep(ctx, c.key) }},
		{"create", needs["write"], s.createCanary},
		{"copy", needs["write"], s.copyCanary},
		{"delete", needs["delete"], s.keepCanary},
		{"sign", needs["sign"], s.linkCanary},
	} {
		err := step.do(ctx, c)
		if err == nil {
			continue
		}
		if !errors.As(err, &failed) {
			failed = &CheckError{step.name, advice(ctx, step.need, err), err}
		}
		if step.name == "write" && (errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrNoBucket)) {
			return failed // there is no object to delete
		}
		break
	}
	err := s.bucket.Delete(ctx, c.key, &driver.DeleteOptions{})
	switch {
	case failed == nil && err == nil:
		return nil
	case failed == nil:
		return &CheckError{"delete", advice(ctx, needs["delete"], err), provider.As(ErrInDoubt, err)}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		failed.Err = both(failed.Err, fmt.Errorf("unknown whether the test object still exists (%w): %w", ErrInDoubt, err))
	}
	return failed
}

func (s *Store) readCanary(ctx context.Context, c *canary) error {
	r, err := s.bucket.Read(ctx, c.key, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Attributes.Metadata[provider.MetaOp] != c.id {
		return errors.New("the object was returned without its stored metadata")
	}
	return c.same(r)
}

// same compares the content of r with the written content.
func (c *canary) same(r io.Reader) error {
	got, err := io.ReadAll(io.LimitReader(progress.Reader(r), int64(len(c.content))+1))
	if err == nil && !bytes.Equal(got, c.content) {
		err = errors.New("the object was returned with different content")
	}
	return err
}

func (s *Store) listCanary(ctx context.Context, c *canary) error {
	for _, err := range s.bucket.List(ctx, &blob.ListOptions{Prefix: c.key}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// linkCanary signs a link and uses it in the same way as clients of this store.
func (s *Store) linkCanary(ctx context.Context, c *canary) error {
	link := &Link{Method: http.MethodGet, Expires: time.Now().Add(time.Minute).Truncate(time.Second), GrantID: c.id}
	o := &LinkOptions{Method: http.MethodGet}
	switch {
	case s.signsItself(o):
		if err := s.signByService(ctx, link, c.key, o); err != nil {
			return err
		}
		return s.fetchCanary(ctx, link, c)
	case s.opts.Signer != nil:
		if err := s.signByHandler(link, c.key, o); err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, link.Method, link.URL(), nil)
		if err == nil {
			_, err = s.opts.Signer.Verify(req)
		}
		return err
	}
	return nil // neither can sign, as reported by Capabilities
}

func (s *Store) fetchCanary(ctx context.Context, link *Link, c *canary) error {
	client := s.opts.CheckClient
	if client == nil {
		transport := cloudhttp.Transport(checkTimeout)
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	req, err := http.NewRequestWithContext(ctx, link.Method, link.URL(), nil)
	if err != nil {
		return errors.New("the service returned a signed link that is not a valid URL")
	}
	req.Header = link.Header.Clone()
	resp, err := client.Do(req)
	if err != nil {
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err // omits the URL, a secret
		}
		return &CheckError{"fetch", "cannot reach " + req.URL.Host + ", the host of signed links: check the public endpoint and the network", err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusedLink(resp)
	}
	if err := c.same(resp.Body); err != nil {
		return &CheckError{"fetch", "", err}
	}
	return nil
}

// serviceCode finds the error code in a response. All three services use this
// element.
var serviceCode = regexp.MustCompile(`<Code>([A-Za-z0-9.]{1,64})</Code>`)

// refusedLink returns an error that explains why the service refused its own
// link.
func refusedLink(resp *http.Response) error {
	err := fmt.Errorf("the service responded with status %d", resp.StatusCode)
	if body, readErr := io.ReadAll(io.LimitReader(resp.Body, 8<<10)); readErr == nil {
		if m := serviceCode.FindSubmatch(body); m != nil {
			err = fmt.Errorf("%w %s", err, m[1])
		}
	}
	e := &CheckError{Step: "fetch", Err: err}
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return e
	}
	e.Err = provider.As(fs.ErrPermission, err)
	e.Advice = "the service refused its own link: check whether a policy or a firewall requires signed headers, and whether a proxy changes the host or the path"
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		if off := time.Since(at).Round(time.Second); off.Abs() > time.Minute {
			e.Advice = fmt.Sprintf("the clock of this machine differs from the service's clock by %v: correct it", off.Abs())
		}
	}
	return e
}
