package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
	"github.com/blobtrail/blobtrail/signurl"
)

// failingReader is the body of a client that disconnects.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// unwritable is a trail that is unavailable.
type unwritable struct{ audit.Memory }

func (*unwritable) Log(context.Context, audit.Event) error { return errors.New("secret password") }

func TestSpans(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	defer otel.SetTracerProvider(before)
	defer func() { require.NoError(t, provider.Shutdown(context.Background())) }()

	signer, err := signurl.New("https://files.example.com/", []signurl.Key{signurl.GenerateKey()}, nil)
	require.NoError(t, err)
	open := func(log audit.Journal) *blobstore.Store {
		s, err := blobstore.New(memstore.New(), log, &blobstore.Options{
			Signer: signer, Grants: new(signurl.MemoryGrants), DefaultActor: audit.Actor{UserID: "u-secret"},
			Authorize: func(_ context.Context, e audit.Event) error {
				if strings.HasSuffix(e.Key, "denied") {
					return errors.New("secret reason")
				}
				return nil
			},
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
		return s
	}
	s, broken := open(new(audit.Memory)), open(new(unwritable))
	ctx := t.Context()
	const key = "secret/a"
	var (
		staged *blobstore.Staged
		link   *blobstore.Link
	)
	for _, tc := range []struct {
		do                     func() error
		action, outcome, error string
	}{
		{func() error { _, err := s.Upload(ctx, key, strings.NewReader("x"), nil); return err }, "upload", "ok", ""},
		{func() error { _, err := s.Upload(ctx, key, strings.NewReader("x"), nil); return err }, "upload", "failed", "exists"},
		{func() error { _, err := s.Upload(ctx, key+"2", failingReader{errors.New("secret")}, nil); return err }, "upload", "failed", "error"},
		{func() error { _, err := s.Upload(ctx, "secret/denied", strings.NewReader("x"), nil); return err }, "upload", "denied", "denied"},
		{func() error { r, err := s.Download(ctx, key, nil); require.NoError(t, r.Close()); return err }, "download", "ok", ""},
		{func() error { _, err := s.Download(ctx, "secret/none", nil); return err }, "download", "failed", "not_found"},
		{func() error { _, err := broken.Download(ctx, "secret/none", nil); return err }, "download", "failed", "audit"},
		{func() error { _, err := s.Stat(ctx, key); return err }, "stat", "ok", ""},
		{func() (err error) { link, err = s.Link(ctx, key, nil); return err }, "generate_url", "ok", ""},
		{func() error { return s.Revoke(ctx, key, link.GrantID) }, "revoke", "ok", ""},
		{func() error { return s.Revoke(ctx, key+"2", link.GrantID) }, "revoke", "denied", "denied"},
		{func() error { return s.Copy(ctx, key+"3", key, nil) }, "copy", "ok", ""},
		{func() error { return s.Move(ctx, key+"4", key+"3", nil) }, "move", "ok", ""},
		{func() (err error) { staged, err = s.Stage(ctx, key+"5", strings.NewReader("x"), nil); return err }, "stage", "ok", ""},
		{func() error { return staged.Commit(ctx) }, "commit", "ok", ""},
		{func() error { return staged.Discard(ctx) }, "discard", "failed", "error"},
		{func() error {
			_, err := s.BeginUpload(ctx, key+"6", time.Minute, &blobstore.UploadOptions{Size: 1})
			return err
		}, "begin_upload", "ok", ""},
		{func() error { _, err := s.Ticket(key+"6", "no such ticket").Complete(ctx); return err }, "complete_upload", "failed", "not_found"},
		{func() error { return s.Ticket(key+"6", "no such ticket").Abort(ctx) }, "abort_upload", "failed", "not_found"},
		{func() error {
			for _, err := range s.List(ctx, nil) {
				return err
			}
			return nil
		}, "list", "ok", ""},
		{func() error {
			for _, err := range s.List(ctx, &blobstore.ListOptions{Prefix: "denied"}) {
				return err
			}
			return nil
		}, "list", "denied", "denied"},
		{func() error { return s.Check(ctx) }, "check", "ok", ""},
		{func() error { _, err := s.Reconcile(ctx); return err }, "reconcile", "ok", ""},
		{func() error { return s.Delete(ctx, key, nil) }, "delete", "ok", ""},
	} {
		exporter.Reset()
		err := tc.do()
		require.Equal(t, tc.outcome == "ok", err == nil, "%s: %v", tc.action, err)
		var found []tracetest.SpanStub
		for _, span := range exporter.GetSpans() {
			if strings.HasPrefix(span.InstrumentationScope.Name, "github.com/blobtrail/") {
				assert.NotContains(t, fmt.Sprintf("%+v", span), "secret", "neither keys nor errors nor who acts")
				found = append(found, span)
			}
		}
		require.Len(t, found, 1, tc.action)
		attrs := make(map[string]string)
		for _, a := range found[0].Attributes {
			attrs[string(a.Key)] = a.Value.AsString()
		}
		want := map[string]string{"blobtrail.action": tc.action, "blobtrail.backend": "mem", "blobtrail.outcome": tc.outcome}
		status := otelcodes.Unset
		if tc.error != "" {
			want["error.type"], status = tc.error, otelcodes.Error
		}
		assert.Equal(t, "blobtrail."+tc.action, found[0].Name)
		assert.Equal(t, want, attrs, tc.action)
		assert.Equal(t, status, found[0].Status.Code)
	}
	for found, err := range s.Scrub(ctx, nil) {
		require.NoError(t, err)
		require.NoError(t, found.Err)
	}
}
