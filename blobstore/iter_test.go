package blobstore_test

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/blobstore/memstore"
)

// stubborn is a bucket with sequences that continue after an error.
type stubborn struct{ driver.Bucket }

func (b stubborn) List(context.Context, *blob.ListOptions) iter.Seq2[*blob.ListObject, error] {
	return goOn(&blob.ListObject{Key: "a"})
}

func (b stubborn) Skipped(_ context.Context, _ string, _ int, found func(path, reason string) bool) error {
	_ = found("a", "link")
	return errBroken
}

var errBroken = errors.New("broken")

// goOn yields v, an error, and v again.
func goOn[V any](v V) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		var none V
		_ = yield(v, nil) && yield(none, errBroken) && yield(v, nil) && yield(none, errBroken)
	}
}

// collect returns all errors yielded by a sequence, including nil.
func collect[V any](seq iter.Seq2[V, error]) (errs []error) {
	for _, err := range seq {
		errs = append(errs, err)
	}
	return errs
}

// Every sequence of a Store ends after its first error. Scrub continues after a
// finding.
func TestSequencesEndAfterTheirFirstError(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "u"})
	b := memstore.New()
	s, err := blobstore.New(stubborn{b}, new(audit.Memory), nil)
	require.NoError(t, err)
	_, err = s.Upload(ctx, "a", strings.NewReader("a"), nil)
	require.NoError(t, err)
	got := map[string][]error{
		"List":    collect(s.List(ctx, nil)),
		"Scrub":   collect(s.Scrub(ctx, nil)),
		"Skipped": collect(s.Skipped(ctx, "")),
	}
	for m := range reflect.TypeFor[*blobstore.Store]().Methods() {
		out := m.Type.NumOut() == 1 && strings.HasPrefix(m.Type.Out(0).String(), "iter.Seq2[") && strings.HasSuffix(m.Type.Out(0).String(), ",error]")
		assert.Equal(t, out, got[m.Name] != nil, "%s is a sequence: add it to this test", m.Name)
	}
	for name, errs := range got {
		require.Len(t, errs, 2, name)
		assert.NoError(t, errs[0], name)
		assert.ErrorIs(t, errs[1], errBroken, name)
	}
}

func TestScrubContinuesAfterAFinding(t *testing.T) {
	ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "u"})
	b, trail := memstore.New(), new(audit.Memory)
	s, err := blobstore.New(b, trail, nil)
	require.NoError(t, err)
	for _, key := range []string{"a", "b", "c"} {
		_, err = s.Upload(ctx, key, strings.NewReader(key), nil)
		require.NoError(t, err)
	}
	require.NoError(t, b.Blob().WriteAll(ctx, "a", []byte("planted"), nil))
	found := map[string]error{}
	for one, err := range s.Scrub(ctx, &blobstore.ScrubOptions{Trail: trail}) {
		require.NoError(t, err)
		found[one.Object.Key] = one.Err
	}
	require.Len(t, found, 3)
	require.ErrorIs(t, found["a"], blobstore.ErrUnrecorded)
	require.NoError(t, errors.Join(found["b"], found["c"]))
}
