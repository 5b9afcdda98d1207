package blobstore

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("the reader's own mistake") }

// A panic in the application's code, recovered by a server, must neither
// prevent the store from closing nor the intent from being reconciled.
func TestApplicationPanics(t *testing.T) {
	for name, tc := range map[string]struct {
		opts Options
		do   func(ctx context.Context, s *Store)
	}{
		"a reader, in Upload": {Options{}, func(ctx context.Context, s *Store) { _, _ = s.Upload(ctx, "a", panicking{}, nil) }},
		"a reader, in Stage":  {Options{}, func(ctx context.Context, s *Store) { _, _ = s.Stage(ctx, "a", panicking{}, nil) }},
		"the authoriser": {Options{Authorize: func(context.Context, audit.Event) error { panic("no") }}, func(ctx context.Context, s *Store) {
			_, _ = s.Upload(ctx, "a", strings.NewReader("x"), nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
				trail := new(audit.Memory)
				bucket := driver.FromBlob(memblob.OpenBucket(nil), driver.Info{Backend: "mem", Bucket: "mem"})
				store, err := New(bucket, trail, &tc.opts)
				require.NoError(t, err)
				require.Panics(t, func() { tc.do(ctx, store) })
				time.Sleep(2 * time.Minute) // on the synctest clock
				_, err = store.Reconcile(ctx)
				require.NoError(t, err)
				require.Zero(t, trail.OpenIntents(), "the intent's lease is renewed for ever")
				closed := make(chan error, 1)
				go func() { closed <- store.Close(context.Background()) }()
				synctest.Wait()
				select {
				case err := <-closed:
					require.NoError(t, err)
				default:
					require.Fail(t, "the store can't be closed")
				}
			})
		})
	}
}

var _ io.Reader = panicking{}
