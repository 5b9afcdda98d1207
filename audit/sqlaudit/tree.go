package sqlaudit

// The Merkle tree of RFC 6962 as a writer and a verifier carry it along: not
// its nodes, only the roots of its complete subtrees, one for each bit that is
// set in the number of its leaves.

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is a tree of size leaves. hashes are the roots of its complete subtrees,
// the largest and leftmost first; a frontier keeps the same.
type tree struct {
	size   int64
	hashes []tlog.Hash
}

// clone returns a copy that can grow without changing t.
func (t *tree) clone() tree {
	return tree{t.size, append(make([]tlog.Hash, 0, len(t.hashes)+1), t.hashes...)}
}

func (t *tree) append(leaf tlog.Hash) {
	t.hashes = append(t.hashes, leaf)
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.hashes) - 1
		t.hashes[last-1] = tlog.NodeHash(t.hashes[last-1], t.hashes[last])
		t.hashes = t.hashes[:last]
	}
	t.size++
}

func (t *tree) root() tlog.Hash {
	last := len(t.hashes) - 1
	if last < 0 {
		empty, err := tlog.TreeHash(0, nil)
		if err != nil {
			panic(err) // it reads nothing
		}
		return empty
	}
	h := t.hashes[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(t.hashes[i], h)
	}
	return h
}

// bytes are the hashes as a frontier stores them.
func (t *tree) bytes() []byte {
	out := make([]byte, 0, len(t.hashes)*tlog.HashSize)
	for _, h := range t.hashes {
		out = append(out, h[:]...)
	}
	return out
}

// treeOf is the tree that bytes described.
func treeOf(size int64, hashes []byte) (tree, error) {
	if size < 0 || len(hashes) != bits.OnesCount64(uint64(size))*tlog.HashSize {
		return tree{}, fmt.Errorf("a tree of %d leaves can't have %d bytes of hashes", size, len(hashes))
	}
	t := tree{size: size}
	for len(hashes) > 0 {
		t.hashes = append(t.hashes, tlog.Hash(hashes))
		hashes = hashes[tlog.HashSize:]
	}
	return t, nil
}

// pathTree is a tree that collects the proof for one leaf while it grows.
type pathTree struct {
	nodes []pathNode
	size  int64
	leaf  int64 // whose proof is wanted
	path  tlog.RecordProof
}

type pathNode struct {
	hash tlog.Hash
	has  bool // the leaf is below it
}

func newPathTree(t tree, leaf int64) *pathTree {
	p := &pathTree{size: t.size, leaf: leaf, path: tlog.RecordProof{}}
	for _, h := range t.hashes {
		p.nodes = append(p.nodes, pathNode{hash: h})
	}
	return p
}

func (p *pathTree) append(leaf tlog.Hash) {
	p.nodes = append(p.nodes, pathNode{leaf, p.size == p.leaf})
	for n := p.size; n&1 == 1; n >>= 1 {
		p.fold()
	}
	p.size++
}

// fold joins the last two nodes. What stands beside the leaf's node is the next
// step of its proof.
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

// proof ends the tree and returns the proof of its leaf, and the root.
func (p *pathTree) proof() (tlog.RecordProof, tlog.Hash) {
	for len(p.nodes) > 1 {
		p.fold()
	}
	return p.path, p.nodes[0].hash
}
