package sqlaudit

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
)

// memoryHashes is the tree as golang.org/x/mod stores it, which ours is held
// against.
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
	var ours tree
	var leaves []tlog.Hash
	for size := int64(0); size <= n; size++ {
		want, err := tlog.TreeHash(size, reference)
		require.NoError(t, err)
		require.Equal(t, want, ours.root(), "size %d", size)
		again, err := treeOf(size, ours.bytes())
		require.NoError(t, err)
		require.Equal(t, want, again.root(), "size %d, from its bytes", size)

		leaf := tlog.RecordHash(fmt.Append(nil, size))
		hashes, err := tlog.StoredHashesForRecordHash(size, leaf, reference)
		require.NoError(t, err)
		reference, leaves = append(reference, hashes...), append(leaves, leaf)
		old := ours.root()
		next := ours.clone()
		next.append(leaf)
		require.Equal(t, old, ours.root(), "a clone grows alone")
		ours = next
	}
	for size := int64(1); size <= n; size += 7 {
		root, err := tlog.TreeHash(size, reference)
		require.NoError(t, err)
		for leaf := range size {
			want, err := tlog.ProveRecord(size, leaf, reference)
			require.NoError(t, err)
			// From the beginning, and from each frontier before the leaf.
			for from := int64(0); from <= leaf; from += 5 {
				var frontier tree
				for _, h := range leaves[:from] {
					frontier.append(h)
				}
				p := newPathTree(frontier, leaf)
				for _, h := range leaves[from:size] {
					p.append(h)
				}
				path, got := p.proof()
				require.Equal(t, root, got)
				require.Equal(t, want, path, "size %d, leaf %d, from %d", size, leaf, from)
			}
		}
	}
}

func TestTreeOfRefusesTheWrongNumberOfHashes(t *testing.T) {
	for _, size := range []int64{-1, 2, 4} {
		_, err := treeOf(size, make([]byte, 64))
		assert.Error(t, err, "size %d", size)
	}
}
