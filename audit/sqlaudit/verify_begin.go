package sqlaudit

// This file implements where the check of one writer begins: at its first entry, or
// at a frontier.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/jmoiron/sqlx"
	"golang.org/x/mod/sumdb/tlog"
)

// frontiersTried is how many frontiers of a writer are looked at for one that is
// valid.
const frontiersTried = 100

// begin starts from the last valid frontier, if the beginning of the log was
// removed. Others beyond it are findings.
func (c *streamCheck) begin(ctx context.Context, tx *sqlx.Tx) error {
	var list []frontierRow
	err := selectRaw(ctx, tx, sqlx.Rebind(c.d.bind(), frontierQuery(c.d, frontiersTried)), []any{c.id}, 3, func(v []any) { list = append(list, readFrontier(c.d, c.id, v)) })
	if err != nil {
		return err
	}
	for _, f := range list {
		t, err := c.frontier(ctx, tx, f)
		var failed *queryError
		if errors.As(err, &failed) {
			return err
		}
		if err == nil {
			c.tree, c.stream.First = t, f.Size
			c.next, c.good, c.covered = f.Size, f.Size, f.Size
			break
		}
		c.find(c.finding(FindingFrontier, f.Size, "the entries before this one are said to be gone: %v", err))
	}
	if c.next == 0 && len(list) > 0 {
		if err := c.beginAnyway(ctx, tx, list); err != nil {
			return err
		}
	}
	c.first = c.tree.clone()
	c.erasures = erasureCursor{c: c}

	// Entries before the beginning were put there.
	query := "SELECT seq, " + c.id36() + " FROM file_access_logs WHERE writer_id = ? AND seq < ?" + inLogs.and(c.d) + " ORDER BY seq LIMIT 100"
	if err := selectRaw(ctx, tx, sqlx.Rebind(c.d.bind(), query), []any{c.id, c.next}, 2, func(v []any) {
		seq, _ := c.d.form().integer(v[0])
		f := c.finding(FindingSequence, seq, "an entry before the beginning of the log, which is at %d", c.next)
		if id, err := c.d.form().text(v[1]); err == nil && isUUID(id) {
			f.EntryID = id
		}
		c.find(f)
	}); err != nil {
		return err
	}
	var n int
	if err := tx.GetContext(ctx, &n, sqlx.Rebind(c.d.bind(), "SELECT count(*) FROM file_access_checkpoints WHERE writer_id = ? AND tree_size < 1"+inCheckpoints.and(c.d)), c.id); err != nil {
		return err
	}
	if n > 0 {
		c.find(c.finding(FindingSignature, -1, "%d checkpoints are stored for fewer than one entry", n))
	}
	return nil
}

// beginAnyway begins where the entries do, if one of the frontiers that are not
// valid says that this is the beginning: what is missing before it was reported.
func (c *streamCheck) beginAnyway(ctx context.Context, tx *sqlx.Tx, list []frontierRow) error {
	var first sql.NullInt64
	if err := tx.GetContext(ctx, &first, sqlx.Rebind(c.d.bind(), "SELECT min(seq) FROM file_access_logs WHERE writer_id = ?"+inLogs.and(c.d)), c.id); err != nil {
		return err
	}
	for _, f := range list {
		if f.err != nil || f.Size < 1 || f.Size > maxPlace || !first.Valid || f.Size != first.Int64 {
			continue
		}
		// Without the right hashes, with those of some tree of that size.
		t, err := treeOf(f.Size, f.Hashes)
		if err != nil {
			t, err = treeOf(f.Size, make([]byte, bits.OnesCount64(uint64(f.Size))*tlog.HashSize))
		}
		if err != nil {
			return err
		}
		c.tree, c.stream.First, c.lost = t, f.Size, true
		c.next, c.good, c.covered = f.Size, f.Size, f.Size
		return nil
	}
	return nil
}

// id36 is an expression for the id of an entry.
func (c *streamCheck) id36() string {
	if c.d.name() == "postgres" {
		return "id"
	}
	return c.d.short(value{column: "id", limit: 36})
}

func (c *streamCheck) frontier(ctx context.Context, tx *sqlx.Tx, f frontierRow) (t tree, err error) {
	if f.err != nil {
		return t, f.err
	}
	if f.Size < 1 || f.Size > maxPlace {
		return t, fmt.Errorf("no log has %d entries", f.Size)
	}
	if t, err = treeOf(f.Size, f.Hashes); err != nil {
		return t, err
	}
	text, err := c.checkOrder(ctx, tx, f.Note)
	if err != nil {
		return t, fmt.Errorf("the order to remove them is not valid: %w", err)
	}
	op := ""
	if lines := strings.SplitN(text, "\n", 3); len(lines) == 3 {
		op = strings.TrimPrefix(lines[1], "op ")
	}
	if text != frontierText(op, c.id, f.Size, t.root()) {
		return t, errors.New("the order to remove them is for other entries")
	}
	found := false
	var signed checkpointRow
	query := c.checkpointQuery("tree_size = ?", "", 1)
	if err := selectRaw(ctx, tx, query, []any{c.id, f.Size}, 2, func(v []any) { signed, found = c.checkpointOf(v), true }); err != nil {
		return t, &queryError{err}
	}
	if !found {
		return t, errors.New("no checkpoint says what they were")
	}
	if c.verifier != nil {
		text, err := signed.open(c.verifier)
		if err != nil {
			return t, fmt.Errorf("the checkpoint that says what they were: %w", err)
		}
		if text != checkpointText(c.id, f.Size, t.root()) {
			return t, errors.New("the checkpoint that says what they were has another root")
		}
	}
	return t, nil
}
