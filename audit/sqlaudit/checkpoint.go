package sqlaudit

// Checkpoints: a writer's signed statement that its log has so many entries
// with that root. One is stored with every transaction that stores entries.

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// checkpointRow is a row of file_access_checkpoints.
type checkpointRow struct {
	WriterID string `db:"writer_id"`
	Size     int64  `db:"tree_size"`
	Note     string `db:"note"`

	err error // why the row is not one that this package stored
}

// open returns the text of the checkpoint if v signed it.
func (p *checkpointRow) open(v note.Verifier) (string, error) {
	if p.err != nil {
		return "", fmt.Errorf("its row %w", p.err)
	}
	return openNote(p.Note, v)
}

// checkpointText is the body of a C2SP tlog-checkpoint.
func checkpointText(writer string, size int64, root tlog.Hash) string {
	return writerKeyPrefix + writer + "\n" + strconv.FormatInt(size, 10) + "\n" + root.String() + "\n"
}

func (i *identity) checkpoint(t *tree) (*checkpointRow, error) {
	signed, err := i.sign(checkpointText(i.id, t.size, t.root()))
	if err != nil {
		return nil, err
	}
	return &checkpointRow{WriterID: i.id, Size: t.size, Note: signed}, nil
}

// parseCheckpoint reads the text of a checkpoint.
func parseCheckpoint(text string) (writer string, size int64, root tlog.Hash, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return "", 0, root, errors.New("a checkpoint has three lines")
	}
	writer, ok := strings.CutPrefix(lines[0], writerKeyPrefix)
	if !ok || checkUUID(writer) != nil {
		return "", 0, root, fmt.Errorf("its origin %.100q is not %q and the id of a writer", lines[0], writerKeyPrefix)
	}
	size, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return "", 0, root, fmt.Errorf("its size %.40q is not a number", lines[1])
	}
	root, err = tlog.ParseHash(lines[2])
	if err != nil || root.String() != lines[2] {
		return "", 0, root, fmt.Errorf("its root %.80q is not a hash", lines[2])
	}
	return writer, size, root, nil
}
