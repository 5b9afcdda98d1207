package proof

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fed is a log in the form that a checker is fed. The honest log has 12
// entries. An order removed the first 4, another order erased entry 6, and all
// 12 were published.
type fed struct {
	d           *deployment
	w           *testWriter
	start       Tree
	checkpoints map[int64]string
	entries     []*Entry
	frontier    string // the order to remove entries
	erasure     string
	certificate string // the published certificate
	published   map[int64]string
}

const op = "0b8f5a0e-6c0f-4c57-9c2b-0f5b7c1d2e3f"

func newFed(t *testing.T) *fed {
	t.Helper()
	f := &fed{d: newDeployment(t), checkpoints: make(map[int64]string)}
	f.w = f.d.writer(t, 1)
	for range 3 {
		_, _, checkpoint := f.w.write(4)
		f.checkpoints[f.w.tree.Size] = checkpoint
		if f.start.Size == 0 {
			f.start = f.w.tree.Clone()
		}
	}
	f.entries = append([]*Entry(nil), f.w.entries[4:]...)
	f.entries[2] = erase(f.entries[2])
	var err error
	f.frontier, err = f.w.sign(FrontierText(op, f.w.ID, &f.start))
	require.NoError(t, err)
	text, first := ErasureText(op, f.w.ID, []int64{6})
	require.EqualValues(t, 6, first)
	f.erasure, err = f.w.sign(text)
	require.NoError(t, err)
	f.certificate = f.w.Certificate
	f.published = map[int64]string{12: f.checkpoints[12]}
	return f
}

func (f *fed) check(t *testing.T) *Report {
	t.Helper()
	c, err := NewChecker(100, f.d.key)
	require.NoError(t, err)
	l := c.Log(f.w.ID, &f.w.Writer, nil)
	require.Empty(t, c.Signer(f.frontier), "a writer whose log is checked is known")
	sizes := []int64{12}
	require.True(t, l.Anchors(f.certificate, sizes))
	l.Frontier(f.start.Size, hashBytes(f.start.Hashes), f.frontier, f.checkpoints[4], nil)
	l.Erasure(6, op, f.erasure, nil)
	for _, e := range f.entries {
		l.Entry(e)
		if signed := f.checkpoints[e.seq()+1]; signed != "" {
			l.Checkpoint(e.seq()+1, signed, nil)
		}
	}
	if n := len(f.entries); n == 0 || f.entries[n-1].seq() < 11 {
		l.Checkpoint(12, f.checkpoints[12], nil)
	}
	l.End()
	for size, signed := range f.published {
		l.Published(size, signed, false)
	}
	return c.Report(true)
}

func TestCheckerAcceptsAnHonestLog(t *testing.T) {
	r := newFed(t).check(t)
	require.NoError(t, r.Err(), "%v", r.Findings)
	assert.Equal(t, VerdictSound, r.Verdict)
	assert.Equal(t, []int64{8, 1, 2, 1}, []int64{r.Entries, r.Erased, r.Checkpoints, r.Published})
	require.Len(t, r.Streams, 1)
	s := r.Streams[0]
	assert.Equal(t, []int64{4, 12, 12, 12}, []int64{s.First, s.Size, s.Signed, s.Published})
	assert.Zero(t, r.Unpublished())
}

func TestCheckerFinds(t *testing.T) {
	for kind, changes := range map[string][]func(f *fed){
		kindLeaf: {func(f *fed) {
			e := *f.entries[1]
			e.Values = append([]any(nil), e.Values...)
			e.Values[columnOf("outcome")] = "failed"
			f.entries[1] = &e
		}},
		kindRoot: {func(f *fed) {
			e := *f.entries[1]
			e.Values = append([]any(nil), e.Values...)
			e.Values[columnOf("outcome")] = "failed"
			e.Seal()
			f.entries[1] = &e
		}},
		kindCommitment: {func(f *fed) {
			e := *f.entries[1]
			e.Values = append([]any(nil), e.Values...)
			e.Values[columnOf("user_id")] = "emma"
			f.entries[1] = &e
		}},
		kindErasure: {
			func(f *fed) { f.entries[1] = erase(f.entries[1]) },
			func(f *fed) { f.erasure = f.frontier },
			func(f *fed) { f.erasure = strings.Replace(f.erasure, "entries 6", "entries 5", 1) },
		},
		kindSequence: {
			func(f *fed) { f.entries = append(f.entries[:1:1], f.entries[2:]...) },
			func(f *fed) { f.entries = append([]*Entry{f.entries[0]}, f.entries...) },
		},
		kindUnsigned:    {func(f *fed) { delete(f.checkpoints, 12); delete(f.published, 12) }},
		kindCut:         {func(f *fed) { f.entries = f.entries[:7] }},
		kindSignature:   {func(f *fed) { f.checkpoints[8] = f.frontier }, func(f *fed) { f.checkpoints[8] = f.certificate }},
		kindCertificate: {func(f *fed) { f.w.Origin = "elsewhere" }, func(f *fed) { f.w.Certificate = f.checkpoints[8] }},
		kindFrontier: {
			func(f *fed) { f.frontier = f.erasure },
			func(f *fed) { delete(f.checkpoints, 4) },
			func(f *fed) { f.start.Hashes = append(f.start.Hashes, f.start.Hashes[0]) },
			func(f *fed) { f.start.Hashes[0][0] ^= 1 },
		},
	} {
		for i, change := range changes {
			t.Run(fmt.Sprint(kind, i), func(t *testing.T) {
				f := newFed(t)
				change(f)
				r := f.check(t)
				require.ErrorIs(t, r.Err(), ErrTampered)
				found := false
				for _, finding := range r.Findings {
					found = found || finding.Kind == kind
				}
				assert.True(t, found, "want %s: %v", kind, r.Findings)
			})
		}
	}
}

// Published checkpoints reveal that a log was signed again or cut off, or that
// a writer is missing.
func TestCheckerComparesPublishedCheckpoints(t *testing.T) {
	f := newFed(t)
	forger := *f.w
	forger.entries, forger.tree = nil, Tree{}
	_, _, signed := forger.write(12)
	rewritten := *forger.entries[3]
	rewritten.Values = append([]any(nil), rewritten.Values...)
	rewritten.Values[columnOf("outcome")] = "failed"
	rewritten.Seal()
	require.Equal(t, f.checkpoints[12][:60], signed[:60])
	c, err := NewChecker(100, f.d.key)
	require.NoError(t, err)
	l := c.Log(f.w.ID, &f.w.Writer, nil)
	l.Anchors("", []int64{4})
	var tree Tree
	for i, e := range forger.entries[:4] {
		if i == 3 {
			e = &rewritten
		}
		l.Entry(e)
		tree.Append(e.Leaf)
	}
	again, err := f.w.sign(CheckpointText(f.w.ID, &tree))
	require.NoError(t, err)
	l.Checkpoint(4, again, nil)
	l.End()
	assert.False(t, l.Published(4, f.checkpoints[8], false), "it is for another size")
	assert.True(t, l.Published(4, f.checkpoints[4], false))
	assert.Equal(t, kindPublished, c.Report(true).Findings[0].Kind)

	c, err = NewChecker(100, f.d.key)
	require.NoError(t, err)
	gone := c.Log(f.w.ID, nil, nil)
	require.True(t, gone.Anchors(f.certificate, []int64{12}))
	require.True(t, gone.Published(12, f.checkpoints[12], false))
	r := c.Report(true)
	require.Len(t, r.Findings, 1)
	assert.Equal(t, kindWriter, r.Findings[0].Kind)

	c, err = NewChecker(100, newDeployment(t).key)
	require.NoError(t, err)
	assert.False(t, c.Log(f.w.ID, nil, nil).Anchors(f.certificate, []int64{12}), "no key certifies it")
	r = c.Report(true)
	assert.Equal(t, VerdictNotCheckable, r.Verdict)
	assert.Contains(t, strings.Join(r.Remarks, " "), "2 objects")
}
