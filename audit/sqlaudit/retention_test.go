package sqlaudit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
)

var officer = audit.WithActor(context.Background(), audit.Actor{UserID: "officer"})

// exportTo is an export with a custom Sync.
type exportTo struct {
	io.Writer
	sync func() error
}

func (e exportTo) Sync() error { return e.sync() }

func TestErase(t *testing.T) { onEach(t, testErase) }

func testErase(t *testing.T, s *system) {
	tr := newTrailOn(t, s)
	tr.write(t, 20)
	j := tr.open(t)
	other := event("kept")
	other.Actor.UserID = "u-2"
	require.NoError(t, j.Log(t.Context(), other))
	logMany(t, j, 600) // more than one transaction erases
	before := entries(t, j, audit.Query{UserID: "u-1"})
	require.Len(t, before, 620)
	kept := entries(t, j, audit.Query{UserID: "u-2"})

	n, err := j.Erase(officer, audit.Query{UserID: "u-1"})
	require.NoError(t, err)
	assert.EqualValues(t, 620, n)
	assert.Empty(t, entries(t, j, audit.Query{UserID: "u-1"}))
	assert.Equal(t, kept, entries(t, j, audit.Query{UserID: "u-2"}))
	again, err := j.Erase(officer, audit.Query{UserID: "u-1"})
	require.NoError(t, err)
	assert.Zero(t, again)

	said := entries(t, j, audit.Query{Actions: []audit.Action{audit.ActionErase}})
	require.Len(t, said, 4)
	assert.Equal(t, []audit.Outcome{audit.OutcomeBegun, audit.OutcomeOK}, []audit.Outcome{said[0].Outcome, said[1].Outcome})
	assert.Equal(t, said[0].OpID, said[1].OpID)
	assert.Equal(t, "officer", said[0].Actor.UserID)
	assert.Equal(t, map[string]string{"entries": "620"}, said[1].Attrs, "and not whom")

	p, err := j.Prove(t.Context(), before[7].ID)
	require.NoError(t, err, "the proof still holds")
	assert.Nil(t, p.Personal)
	e, err := proof.Verify(p, tr.key)
	require.NoError(t, err)
	want := before[7]
	want.Actor = audit.Actor{TenantID: want.Actor.TenantID}
	assert.Equal(t, want, e)
	require.NoError(t, j.Close(context.Background()))
	r := tr.verify(t)
	requireSound(t, r)
	assert.EqualValues(t, 620, r.Erased)
}

// In an application's pool on SQLite, a transaction may find at its first write
// that its snapshot is outdated.
func TestEraseWhileOthersWrite(t *testing.T) {
	db := newRaw(t, sqliteSystem.dsn(t))
	j, err := sqlaudit.New(t.Context(), db.DB.DB, &sqlaudit.Options{Logger: quiet})
	require.NoError(t, err)
	const n = 30
	logMany(t, j, n)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				began := time.Now()
				assert.NoError(t, j.Log(context.Background(), event("other")))
				time.Sleep(time.Since(began)) // SQLite has no queue for its lock: Erase needs gaps to get it within 5 s
			}
		})
	}
	for i := range n {
		erased, err := j.Erase(officer, audit.Query{Key: fmt.Sprint("files/", i)})
		assert.NoError(t, err)
		assert.EqualValues(t, 1, erased)
	}
	stop.Store(true)
	wg.Wait()
	require.NoError(t, j.Close(t.Context()))
}

func TestEraseRefuses(t *testing.T) {
	j, _ := sqliteSystem.open(t, nil)
	_, err := j.Erase(officer, audit.Query{})
	require.ErrorContains(t, err, "every entry")
	_, err = j.Erase(context.Background(), audit.Query{UserID: "x"})
	require.ErrorIs(t, err, audit.ErrNoActor)
	assert.Empty(t, entries(t, j, audit.Query{}))

	// An option that does not apply is rejected, because an erasure cannot be
	// undone.
	for range 5 {
		e := event("k")
		e.Actor.UserID = "anna"
		require.NoError(t, j.Log(t.Context(), e))
	}
	before := entries(t, j, audit.Query{})
	for field, q := range map[string]audit.Query{
		"After": {After: before[1].ID}, "NewestFirst": {NewestFirst: true}, "Limit": {Limit: 1}, "Verified": {Verified: true},
	} {
		q.UserID = "anna"
		n, err := j.Erase(officer, q)
		require.ErrorContains(t, err, "Erase with Query."+field)
		assert.Zero(t, n)
		_, err = j.Counts(t.Context(), q, sqlaudit.Total)
		require.ErrorContains(t, err, "Counts with Query."+field)
	}
	assert.Equal(t, before, entries(t, j, audit.Query{}))
}

// verifyExport requires the export to be sound.
func verifyExport(t *testing.T, export io.Reader, key string) *proof.Report {
	t.Helper()
	r, err := proof.VerifyExport(export, key)
	require.NoError(t, err)
	require.NoError(t, r.Err(), "%v", r.Findings)
	require.Equal(t, proof.VerdictSound, r.Verdict, "%v", r.Remarks)
	return r
}

func TestPurge(t *testing.T) { onEach(t, testPurge) }

func testPurge(t *testing.T, s *system) {
	tr := newTrailOn(t, s)
	first := tr.write(t, 2300) // more than one step removes
	second := tr.write(t, 30)
	j := tr.open(t)
	_, err := j.Erase(officer, audit.Query{Key: "files/7"})
	require.NoError(t, err)
	require.NoError(t, j.Close(context.Background()))
	theClockMovesOn()
	before := time.Now()
	j = tr.open(t)
	logMany(t, j, 10)

	var exported bytes.Buffer
	synced := 0
	res, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before, Export: exportTo{&exported, func() error { synced++; return nil }}})
	require.NoError(t, err)
	assert.Equal(t, sqlaudit.PurgeResult{Entries: 2332, Writers: 3}, res)
	assert.Equal(t, 5, synced, "four steps and the end")
	left := entries(t, j, audit.Query{})
	assert.Len(t, left, 12, "those that are younger, and what Purge says itself")
	assert.Equal(t, audit.ActionPurge, left[11].Action)
	assert.Equal(t, "2332", left[11].Attrs["entries"])

	lines, personal := 0, 0
	for line := range strings.Lines(exported.String()) {
		var l struct {
			Entry    string
			Personal *struct{}
		}
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		if l.Entry != "" {
			lines++
			if l.Personal != nil {
				personal++
			}
		}
	}
	assert.Equal(t, 2332, lines)
	assert.Equal(t, 2330, personal, "two were erased")
	checked := verifyExport(t, &exported, tr.key)
	assert.Equal(t, []int64{2332, 2}, []int64{checked.Entries, checked.Erased})
	assert.Len(t, checked.Streams, 3)

	// The trail continues: more entries, another purge, a proof of a remaining
	// entry.
	p, err := j.Prove(t.Context(), left[3].ID)
	require.NoError(t, err)
	_, err = proof.Verify(p, tr.key)
	require.NoError(t, err)
	require.NoError(t, j.Close(context.Background()))
	r := tr.verify(t)
	requireSound(t, r)
	assert.EqualValues(t, 12, r.Entries)
	sizes := make(map[string][]int64)
	for _, st := range r.Streams {
		sizes[st.WriterID] = []int64{st.First, st.Size}
	}
	assert.Equal(t, []int64{2300, 2300}, sizes[first])
	assert.Equal(t, []int64{30, 30}, sizes[second])

	// Only entries before a frontier can be deleted, on any database.
	db := newRaw(t, tr.dsn)
	for _, table := range []string{"file_access_logs", "file_access_checkpoints", "file_access_frontiers"} {
		_, err := db.Exec("DELETE FROM " + table)
		require.ErrorContains(t, err, "append-only", table)
	}
	for statement, table := range map[string]string{
		"UPDATE %s SET note = 'x'": "file_access_checkpoints", "UPDATE %s SET tree_size = 1 + tree_size": "file_access_frontiers",
		"UPDATE %s SET first_seq = 99": "file_access_erasures", "DELETE FROM %s": "file_access_erasures",
		"INSERT INTO %s SELECT writer_id, 9999999, hashes, note FROM file_access_frontiers LIMIT 1": "file_access_frontiers",
	} {
		_, err := db.Exec(strings.Replace(statement, "%s", table, 1))
		require.ErrorContains(t, err, "append-only", statement)
	}
}

func TestPurgeInTheMiddleOfAWriter(t *testing.T) {
	tr := newTrail(t)
	j := tr.open(t)
	logMany(t, j, 300)
	theClockMovesOn()
	before := time.Now()
	logMany(t, j, 300)
	require.NoError(t, sqlaudit.Publish(j))
	var exported bytes.Buffer
	res, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before, Export: exportTo{&exported, func() error { return nil }}})
	require.NoError(t, err)
	assert.EqualValues(t, 300, res.Entries)
	for _, e := range entries(t, j, audit.Query{})[:20] {
		p, err := j.Prove(t.Context(), e.ID)
		require.NoError(t, err)
		_, err = proof.Verify(p, tr.key)
		require.NoError(t, err)
	}
	// Another purge continues in the same file.
	first := exported.Len()
	theClockMovesOn()
	res, err = j.Purge(officer, sqlaudit.PurgeOptions{Before: time.Now(), Export: exportTo{&exported, func() error { return nil }}})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, res.Entries, int64(300))
	second := verifyExport(t, bytes.NewReader(exported.Bytes()[first:]), tr.key)
	assert.EqualValues(t, 300, second.Streams[0].First)
	both := verifyExport(t, bytes.NewReader(exported.Bytes()), tr.key)
	assert.Equal(t, []int64{0, 300 + res.Entries}, []int64{both.Streams[0].First, both.Streams[0].Size})
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))

	// Removed entries cannot be restored in another form, or without an order.
	db := newRaw(t, tr.dsn)
	dropTriggers(t, db)
	db.exec(t, "UPDATE file_access_frontiers SET note = (SELECT note FROM file_access_checkpoints LIMIT 1)")
	r := tr.verify(t)
	require.ErrorIs(t, r.Err(), proof.ErrTampered)
	assert.Equal(t, "frontier", r.Findings[0].Kind, "%v", r.Findings)
}

// A settlement has one checkpoint for any number of entries.
func TestPurgeOfALargeSettlement(t *testing.T) {
	tr := newTrail(t)
	j := tr.open(t)
	logMany(t, j, 3)
	settleMany(t, j, 2500)
	logMany(t, j, 3)
	theClockMovesOn()
	before := time.Now()
	var exported bytes.Buffer
	res, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before, Export: exportTo{&exported, func() error { return nil }}})
	require.NoError(t, err)
	assert.EqualValues(t, 2506, res.Entries)
	assert.EqualValues(t, 2506, verifyExport(t, &exported, tr.key).Entries)
	require.NoError(t, j.Close(context.Background()))
	requireSound(t, tr.verify(t))
}

func TestPurgeRefuses(t *testing.T) {
	tr := newTrail(t)
	tr.write(t, 30)
	j := tr.open(t)
	t.Cleanup(func() { require.NoError(t, j.Close(context.Background())) })
	for name, before := range map[string]time.Time{"no time": {}, "the future": time.Now().Add(time.Hour)} {
		_, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: before})
		require.Error(t, err, name)
	}
	full := errors.New("no space left")
	_, err := j.Purge(officer, sqlaudit.PurgeOptions{Before: time.Now(), Export: exportTo{new(bytes.Buffer), func() error { return full }}})
	require.ErrorIs(t, err, full)
	db := newRaw(t, tr.dsn)
	assert.Equal(t, 30, db.count(t, "file_access_logs WHERE file_key LIKE 'files/%'"))
	said := entries(t, j, audit.Query{Actions: []audit.Action{audit.ActionPurge}})
	assert.Equal(t, audit.OutcomeFailed, said[len(said)-1].Outcome)

	dropTriggers(t, db)
	db.exec(t, "UPDATE file_access_logs SET file_key = 'x' WHERE seq = 3")
	_, err = j.Purge(officer, sqlaudit.PurgeOptions{Before: time.Now()})
	require.ErrorIs(t, err, proof.ErrTampered, "tampering is not purged away")
	assert.Equal(t, 29, db.count(t, "file_access_logs WHERE file_key LIKE 'files/%'"))
}
