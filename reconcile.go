package blobtrail

import (
	"context"
	"log/slog"
	"time"

	"github.com/blobtrail/blobtrail/blobstore"
)

// reconcile runs Store.Reconcile now and at every interval, until stop is
// called. stop waits for the current run, at most until its context ends.
func reconcile(ctx context.Context, store *blobstore.Store, every time.Duration, log *slog.Logger) (stop func(context.Context) error) {
	if every < 0 {
		return func(context.Context) error { return nil }
	}
	if every == 0 {
		every = time.Minute
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for ctx.Err() == nil {
			done, err := store.Reconcile(ctx)
			if err != nil && ctx.Err() == nil {
				log.ErrorContext(ctx, "reconciling failed, retrying", slog.Any("error", err), slog.Duration("in", every))
			}
			if done != (blobstore.Reconciled{}) {
				log.InfoContext(ctx, "reconciled the leftovers of killed processes", slog.Any("settled", done))
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	}()
	return func(waiting context.Context) error {
		cancel()
		select {
		case <-ended:
			return nil
		case <-waiting.Done():
			return waiting.Err()
		}
	}
}
