package sqlaudit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

// leave records entries in a process that never publishes them, as if it was
// killed.
func (tr *trail) leave(t *testing.T, n int) (writer string) {
	t.Helper()
	j := tr.open(t, func(o *sqlaudit.Options) { o.Publish = nil })
	logMany(t, j, n)
	require.NoError(t, j.Close(context.Background()))
	return sqlaudit.WriterID(j)
}

func TestPublishesForWritersThatAreGone(t *testing.T) { onEach(t, testPublishesForWritersThatAreGone) }

func testPublishesForWritersThatAreGone(t *testing.T, s *system) {
	tr := newTrailOn(t, s)
	var gone []string
	for i := range 3 {
		gone = append(gone, tr.leave(t, 3+i))
	}
	require.EqualValues(t, 12, tr.verify(t).Unpublished())
	var others []*sqlaudit.Journal // several processes publish concurrently
	for range 2 {
		others = append(others, tr.open(t, func(o *sqlaudit.Options) { o.Publish.Every = 5 * time.Millisecond }))
	}
	later := tr.leave(t, 7)
	last := []string{fmt.Sprintf("checkpoints/%s/%020d", later, 7)} // and earlier ones, if it was slow
	for i, id := range gone {
		last = append(last, fmt.Sprintf("checkpoints/%s/%020d", id, 3+i))
	}
	wait(t, "everything is published", func() bool {
		list := objects(t, tr.bucket)
		return !slices.ContainsFunc(last, func(name string) bool { return !slices.Contains(list, name) })
	})
	for _, j := range others {
		require.NoError(t, j.Close(context.Background()))
	}
	r := tr.verify(t)
	requireSound(t, r)
	assert.Zero(t, r.Unpublished())
}

// Other processes do not publish checkpoints that the writer may still publish,
// that are too old, or that the writer did not sign.
func TestPublishesNothingElse(t *testing.T) {
	for name, tc := range map[string]struct {
		every  time.Duration
		change string
		want   int
	}{
		"quiet":           {every: time.Nanosecond, want: 2},
		"alive":           {every: time.Hour},
		"old":             {every: time.Nanosecond, change: "UPDATE file_access_logs SET created_at = '2020-01-01T00:00:00.000000Z'"},
		"without entries": {every: time.Nanosecond, change: "DELETE FROM file_access_logs"},
		"another note":    {every: time.Nanosecond, change: "UPDATE file_access_checkpoints SET note = 'x'"},
		"another's note":  {every: time.Nanosecond, change: "UPDATE file_access_checkpoints SET note = (SELECT certificate FROM file_access_writers)"},
		"another size":    {every: time.Nanosecond, change: "UPDATE file_access_checkpoints SET tree_size = tree_size - 1"},
		"another key":     {every: time.Nanosecond, change: "UPDATE file_access_writers SET public_key = zeroblob(32)"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrail(t)
			tr.leave(t, 5)
			db := newRaw(t, tr.dsn)
			dropTriggers(t, db)
			if tc.change != "" {
				db.exec(t, tc.change)
			}
			j := tr.open(t, func(o *sqlaudit.Options) { o.Publish.Every = tc.every })
			for range 2 {
				require.NoError(t, sqlaudit.PublishOthers(j))
			}
			assert.Len(t, objects(t, tr.bucket), tc.want)
			require.NoError(t, j.Close(context.Background()))
		})
	}
}

func TestPublishingForOthersContinuesAfterAFailure(t *testing.T) {
	for name, answer := range map[string]error{"down": errDown, "hung up": fmt.Errorf("reading the answer: %w", context.Canceled)} {
		t.Run(name, func(t *testing.T) { testPublishingForOthersGoesOn(t, answer) })
	}
}

func testPublishingForOthersGoesOn(t *testing.T, answer error) {
	tr := newTrail(t)
	f, bucket := openFlaky(t)
	f.answer = answer
	tr.bucket = bucket
	writer := tr.leave(t, 5)
	f.down.Store(true)
	j := tr.open(t, func(o *sqlaudit.Options) { o.Publish.Every = time.Millisecond })
	wait(t, "it fails, once the writer has been quiet", func() bool { return errors.Is(sqlaudit.PublishOthers(j), answer) })
	f.down.Store(false)
	wait(t, "it is published", func() bool { return len(objects(t, bucket)) == 2 })
	require.NoError(t, j.Close(context.Background()))

	// A different checkpoint under the same key is reported.
	require.NoError(t, f.in.WriteAll(t.Context(), fmt.Sprintf("checkpoints/%s/%020d", writer, 5), []byte("x"), nil))
	j = tr.open(t, func(o *sqlaudit.Options) { o.Publish.Every = time.Millisecond })
	require.ErrorContains(t, sqlaudit.PublishOthers(j), "a different checkpoint already exists")
	require.NoError(t, j.Close(context.Background()))
}

// If a process continues as another writer, it publishes for the first one as
// for any other writer. The first writer may have stored entries with unknown
// outcome.
func TestPublishesForItsPreviousWriter(t *testing.T) {
	tr := newTrail(t)
	j, ghost := tr.open(t), tr.open(t, func(o *sqlaudit.Options) { o.Publish = nil })
	logMany(t, j, 3)
	first := sqlaudit.WriterID(j)
	sqlaudit.BecomeCloneOf(ghost, j)
	require.NoError(t, sqlaudit.BecomeAnother(j))
	logMany(t, j, 1)
	require.NoError(t, sqlaudit.Publish(j))
	sqlaudit.SetClock(ghost, func() time.Time { return time.Now().Add(-24 * time.Hour) }) // the writer has been quiet since
	require.NoError(t, ghost.Log(t.Context(), event("stored after all")))
	require.Equal(t, first, sqlaudit.WriterID(ghost))
	require.NoError(t, ghost.Close(t.Context()))
	require.EqualValues(t, 1, tr.verify(t).Unpublished())

	require.NoError(t, sqlaudit.PublishOthers(j))
	assert.Zero(t, tr.verify(t).Unpublished())
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))
}
