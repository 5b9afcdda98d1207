package proof

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
)

// memoryHashes stores a tree for golang.org/x/mod, the reference for this
// package.
type memoryHashes []tlog.Hash

func (m memoryHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = m[at]
	}
	return out, nil
}

func TestTreeAgreesWithTheReference(t *testing.T) {
	const n = 130
	var reference memoryHashes
	var ours Tree
	var leaves []tlog.Hash
	for size := int64(0); size <= n; size++ {
		want, err := tlog.TreeHash(size, reference)
		require.NoError(t, err)
		require.Equal(t, want, ours.Root(), "size %d", size)
		again, err := ParseTree(size, bytesOf(ours))
		require.NoError(t, err)
		require.Equal(t, want, again.Root(), "size %d, from its bytes", size)

		leaf := tlog.RecordHash(fmt.Append(nil, size))
		hashes, err := tlog.StoredHashesForRecordHash(size, leaf, reference)
		require.NoError(t, err)
		reference, leaves = append(reference, hashes...), append(leaves, leaf)
		old := ours.Root()
		next := ours.Clone()
		next.Append(leaf)
		require.Equal(t, old, ours.Root(), "a clone grows alone")
		ours = next
	}
	for size := int64(1); size <= n; size += 7 {
		root, err := tlog.TreeHash(size, reference)
		require.NoError(t, err)
		for leaf := range size {
			want, err := tlog.ProveRecord(size, leaf, reference)
			require.NoError(t, err)
			// Start from the beginning and from each frontier before the leaf.
			for from := int64(0); from <= leaf; from += 5 {
				var frontier Tree
				for _, h := range leaves[:from] {
					frontier.Append(h)
				}
				path, n, err := frontier.Path(leaf, func(yield func(tlog.Hash, error) bool) {
					for _, h := range leaves[from:size] {
						if !yield(h, nil) {
							return
						}
					}
				})
				require.NoError(t, err)
				require.Equal(t, size, n)
				require.Equal(t, want, path, "size %d, leaf %d, from %d", size, leaf, from)
				require.NoError(t, tlog.CheckRecord(path, size, root, leaf, leaves[leaf]))
			}
		}
	}
}

func TestParseTreeRefusesTheWrongNumberOfHashes(t *testing.T) {
	for _, size := range []int64{-1, 2, 4} {
		_, err := ParseTree(size, make([]byte, 64))
		assert.Error(t, err, "size %d", size)
	}
}

func bytesOf(t Tree) (out []byte) {
	for _, h := range t.Hashes {
		out = append(out, h[:]...)
	}
	return out
}

func TestPathOfAMissingLeaf(t *testing.T) {
	none := func(func(tlog.Hash, error) bool) {}
	for _, index := range []int64{-1, 0, 1} {
		_, _, err := (&Tree{Size: 1, Hashes: make([]tlog.Hash, 1)}).Path(index, none)
		assert.Error(t, err, "index %d", index)
	}
	broken := errors.New("broken")
	_, _, err := new(Tree).Path(0, func(yield func(tlog.Hash, error) bool) { yield(tlog.Hash{}, broken) })
	assert.ErrorIs(t, err, broken)
}
