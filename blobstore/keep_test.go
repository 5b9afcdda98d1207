package blobstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// renewing is an intent with a replaceable Renew.
type renewing struct {
	audit.Intent
	renew func(ctx context.Context) error
}

func (r *renewing) Renew(ctx context.Context, _ time.Duration) error { return r.renew(ctx) }

// The context of an operation ends before its lease, so that the operation has
// stopped when a reconciler takes over.
func TestKeepEndsBeforeTheLease(t *testing.T) {
	down := errors.New("the database is down")
	for name, renew := range map[string]func(ctx context.Context) error{
		"the database hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"the database fails": func(context.Context) error { return down },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Store{opts: Options{Lease: time.Minute}}
				began := time.Now()
				ctx, release := s.keep(t.Context(), &renewing{renew: renew})
				defer release()
				<-ctx.Done()
				took := time.Since(began)
				require.ErrorIs(t, context.Cause(ctx), ErrAudit)
				require.Less(t, took, time.Minute-5*time.Second)
				require.Greater(t, took, 30*time.Second)
			})
		})
	}
	t.Run("the database recovers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &Store{opts: Options{Lease: time.Minute}}
			began := time.Now()
			ctx, release := s.keep(t.Context(), &renewing{renew: func(context.Context) error {
				if since := time.Since(began); since > 15*time.Second && since < 35*time.Second {
					return down
				}
				return nil
			}})
			defer release()
			time.Sleep(10 * time.Minute) // on the synctest clock
			require.NoError(t, ctx.Err())
		})
	})
}
