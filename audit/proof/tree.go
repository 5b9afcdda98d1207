package proof

// This file implements the Merkle tree of RFC 6962 in the form that writers and
// verifiers need: only the roots of its complete subtrees.

import (
	"fmt"
	"iter"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is a growing Merkle tree. The zero value is the empty tree.
type Tree struct {
	Size int64
	// Hashes are the roots of the complete subtrees, the largest and leftmost
	// first. There is one for each bit set in Size.
	Hashes []tlog.Hash
}

// ParseTree returns the tree with the given size and the concatenated bytes of
// its Hashes.
func ParseTree(size int64, hashes []byte) (Tree, error) {
	if size < 0 || len(hashes) != bits.OnesCount64(uint64(size))*tlog.HashSize {
		return Tree{}, fmt.Errorf("a tree of %d leaves cannot have %d bytes of hashes", size, len(hashes))
	}
	t := Tree{Size: size}
	for len(hashes) > 0 {
		t.Hashes = append(t.Hashes, tlog.Hash(hashes))
		hashes = hashes[tlog.HashSize:]
	}
	return t, nil
}

// Clone returns a copy that can grow without changing t.
func (t *Tree) Clone() Tree {
	return Tree{t.Size, append(make([]tlog.Hash, 0, len(t.Hashes)+1), t.Hashes...)}
}

// Append adds a leaf.
func (t *Tree) Append(leaf tlog.Hash) {
	t.Hashes = append(t.Hashes, leaf)
	for n := t.Size; n&1 == 1; n >>= 1 {
		last := len(t.Hashes) - 1
		t.Hashes[last-1] = tlog.NodeHash(t.Hashes[last-1], t.Hashes[last])
		t.Hashes = t.Hashes[:last]
	}
	t.Size++
}

// Root returns the root hash.
func (t *Tree) Root() tlog.Hash {
	last := len(t.Hashes) - 1
	if last < 0 {
		empty, err := tlog.TreeHash(0, nil)
		if err != nil {
			panic(err) // unreachable: an empty tree reads no hashes
		}
		return empty
	}
	h := t.Hashes[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(t.Hashes[i], h)
	}
	return h
}

// Path returns the inclusion proof of the leaf at index, and the size of the
// tree. The tree consists of t and the leaves after it. Path stops at the first
// error of leaves.
func (t *Tree) Path(index int64, leaves iter.Seq2[tlog.Hash, error]) (path tlog.RecordProof, size int64, err error) {
	p := &pathTree{size: t.Size, leaf: index, path: tlog.RecordProof{}}
	for _, h := range t.Hashes {
		p.nodes = append(p.nodes, pathNode{hash: h})
	}
	for leaf, err := range leaves {
		if err != nil {
			return nil, p.size, err
		}
		p.append(leaf)
	}
	if index < t.Size || index >= p.size {
		return nil, p.size, fmt.Errorf("leaf %d is not in the range from %d to %d", index, t.Size, p.size)
	}
	for len(p.nodes) > 1 {
		p.fold()
	}
	return p.path, p.size, nil
}

// pathTree is a tree that collects the inclusion proof of one leaf while it
// grows.
type pathTree struct {
	nodes []pathNode
	size  int64
	leaf  int64 // the index of the leaf to prove
	path  tlog.RecordProof
}

type pathNode struct {
	hash tlog.Hash
	has  bool // the subtree contains the leaf
}

func (p *pathTree) append(leaf tlog.Hash) {
	p.nodes = append(p.nodes, pathNode{leaf, p.size == p.leaf})
	for n := p.size; n&1 == 1; n >>= 1 {
		p.fold()
	}
	p.size++
}

// fold joins the last two nodes. If one of them contains the leaf, the other
// one is the next hash of the proof.
func (p *pathTree) fold() {
	last := len(p.nodes) - 1
	left, right := p.nodes[last-1], p.nodes[last]
	if left.has {
		p.path = append(p.path, right.hash)
	}
	if right.has {
		p.path = append(p.path, left.hash)
	}
	p.nodes[last-1] = pathNode{tlog.NodeHash(left.hash, right.hash), left.has || right.has}
	p.nodes = p.nodes[:last]
}
