package sqlaudit

// This file implements figures for monitoring.

import (
	"context"
	"fmt"
)

// OpenIntents returns the number of operations of all processes that have begun
// and are not settled. If the number does not go down, no process runs
// Reconcile.
func (j *Journal) OpenIntents(ctx context.Context) (int, error) {
	var n int
	err := j.call(ctx, func(ctx context.Context) error {
		return j.readDB.GetContext(ctx, &n, "SELECT count(*) FROM file_access_intents")
	})
	if err != nil {
		return 0, fmt.Errorf("sqlaudit: counting open intents: %w", err)
	}
	return n, nil
}
