package sqlaudit

// What a host may want to watch.

import (
	"context"
	"fmt"
)

// OpenIntents returns the number of operations that were begun and are not yet
// settled, by all processes. A number that does not go down means that nobody
// reconciles.
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
