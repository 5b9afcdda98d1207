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

// CheckError is why [Store.Check] failed, inside its [*Error].
type CheckError struct {
	// Step names the step that failed: trail, write, read, list, sweep, create, copy, sign,
	// fetch or delete.
	Step string
	// Advice suggests a fix, such as to grant s3:PutObject. It is empty if Err
	// explains enough.
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
// a private key, reads it, runs a listing, looks for leftovers of killed
// processes, tries to create, copy and delete the object against a condition that
// does not hold, signs a link, fetches the object through the link, and deletes the
// object.
//
// If a step fails, the error wraps a [*CheckError], which names the step and
// suggests a fix. If the store is closed, the error is [ErrClosed].
//
// Call Check at program start and in readiness probes, but not for every
// request: it makes about fifteen requests to the service.
//
// A service that ignores the condition of a create-only write lets a second
// upload replace an object without a trace. It fails the check. On a service that
// only speaks the protocol of another, [Store.Info] reports ExactCreate and
// create-only links only after a Check that saw it refuse.
//
// The first Check of a store also looks for files that are not objects, such as
// symbolic links (see [Store.Skipped]), within the first 10,000 files. It logs a
// warning by package slog if it finds any.
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
	return &CheckError{Step: "trail", Advice: "the trail can't be written: " + advice, Err: err}
}

// swapLeft takes note of the check whose object could not be deleted, and returns
// the one that was noted before.
func (s *Store) swapLeft(check audit.Intent) (before audit.Intent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.left = s.left, check
	return before
}

// clearLeft deletes what an earlier check had to leave, and settles that, so that
// those who ask again and again leave one object and one open intent at most. If
// it can't be deleted, that is what the check e ends with.
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
		return nil // or the reconciler was faster
	}
	s.swapLeft(intent)
	if errors.As(err, new(*CheckError)) {
		return s.record(ctx, e, err)
	}
	return noTrail(err)
}

// interrupted is the result of an operation that its process did not finish, and
// that left nothing.
var interrupted = audit.Result{Outcome: audit.OutcomeFailed, ErrorCode: "interrupted"}

// canary is the object of a check.
type canary struct {
	key, id string
	content []byte
}

// tryOut takes the canary through the steps, and removes it in any case.
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
			return failed // and there is nothing to delete
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
		failed.Err = both(failed.Err, fmt.Errorf("whether the object still stands is not known (%w): %w", ErrInDoubt, err))
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
		return errors.New("the object came back without the metadata that was stored with it")
	}
	return c.same(r)
}

// same compares what r gives with what was written.
func (c *canary) same(r io.Reader) error {
	got, err := io.ReadAll(io.LimitReader(progress.Reader(r), int64(len(c.content))+1))
	if err == nil && !bytes.Equal(got, c.content) {
		err = errors.New("the object came back with other content than was stored")
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

// linkCanary signs a link and uses it, on the way that links of this store take.
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
	return nil // as Capabilities say
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
		return errors.New("the service signed a link that is no URL")
	}
	req.Header = link.Header.Clone()
	resp, err := client.Do(req)
	if err != nil {
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err // without the URL, which is a secret
		}
		return &CheckError{"fetch", "links name " + req.URL.Host + ", which can't be reached from here: check the public endpoint and the network", err}
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

// serviceCode is the word for an error in the answers of all three services.
var serviceCode = regexp.MustCompile(`<Code>([A-Za-z0-9.]{1,64})</Code>`)

// refusedLink says why the service does not honour its own link.
func refusedLink(resp *http.Response) error {
	err := fmt.Errorf("the service answered %d", resp.StatusCode)
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
	e.Advice = "the service refused its own link: check whether a policy or a firewall refuses what is not signed by a header, and whether a proxy changes the host or the path"
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		if off := time.Since(at).Round(time.Second); off.Abs() > time.Minute {
			e.Advice = fmt.Sprintf("this machine's clock and the service's are %v apart: set it", off.Abs())
		}
	}
	return e
}
