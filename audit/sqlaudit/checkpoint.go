package sqlaudit

// This file implements checkpoints. A checkpoint is a signed statement of a
// writer about its log: the number of entries and the root of their tree. Each
// transaction that stores entries also stores a checkpoint.

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/blobtrail/blobtrail/audit/proof"
)

// checkpointRow is a row of file_access_checkpoints.
type checkpointRow struct {
	WriterID string `db:"writer_id"`
	Size     int64  `db:"tree_size"`
	Note     string `db:"note"`

	err error // why reading the row failed
}

// open returns the text of the checkpoint if v signed it.
func (p *checkpointRow) open(v note.Verifier) (string, error) {
	if p.err != nil {
		return "", fmt.Errorf("its row %w", p.err)
	}
	return openNote(p.Note, v)
}

// is returns an error unless the writer of v signed p and the note has p's
// size.
func (p *checkpointRow) is(v note.Verifier) error {
	if p.err != nil {
		return fmt.Errorf("its row %w", p.err)
	}
	size, err := proof.OpenCheckpoint(p.Note, v)
	if err == nil && size != p.Size {
		err = fmt.Errorf("the note covers %d entries", size)
	}
	return err
}

// frontierRow is a row of file_access_frontiers.
type frontierRow struct {
	WriterID string `db:"writer_id"`
	Size     int64  `db:"tree_size"`
	Hashes   []byte `db:"hashes"`
	Note     string `db:"note"`

	err error // why reading the row failed
}

func (i *identity) checkpoint(t *proof.Tree) (*checkpointRow, error) {
	signed, err := i.sign(proof.CheckpointText(i.ID, t))
	if err != nil {
		return nil, err
	}
	return &checkpointRow{WriterID: i.ID, Size: t.Size, Note: signed}, nil
}
