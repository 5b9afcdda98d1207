package proof

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exported is a deployment with two writers and an export of both.
type exported struct {
	*deployment
	a, b *testWriter
	text string
}

// step exports n more entries of a writer.
func step(t *testing.T, x *Export, w *testWriter, n int) {
	t.Helper()
	start, entries, checkpoint := w.write(n)
	require.NoError(t, x.Write(&w.Writer, &start, entries, checkpoint))
}

func end(t *testing.T, x *Export, w *testWriter) {
	t.Helper()
	written, err := x.End(&w.Writer, w.sign)
	require.NoError(t, err)
	require.True(t, written)
}

// newExported exports 5 and 3 entries of writer a, then 4 of writer b.
func newExported(t *testing.T) *exported {
	t.Helper()
	d := newDeployment(t)
	e := &exported{deployment: d, a: d.writer(t, 1), b: d.writer(t, 2)}
	var out bytes.Buffer
	x := NewExport(&out, "op-1")
	step(t, x, e.a, 5)
	step(t, x, e.a, 3)
	step(t, x, e.b, 4)
	end(t, x, e.b)
	e.text = out.String()
	return e
}

// next exports 2 more entries of a and 2 of b.
func (e *exported) next(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	x := NewExport(&out, "op-2")
	step(t, x, e.a, 2)
	step(t, x, e.b, 2)
	end(t, x, e.a)
	return out.String()
}

func (e *exported) verify(t *testing.T, text string) *Report {
	t.Helper()
	r, err := VerifyExport(strings.NewReader(text), e.key)
	require.NoError(t, err)
	return r
}

func TestVerifyExport(t *testing.T) {
	e := newExported(t)
	r := e.verify(t, e.text)
	require.NoError(t, r.Err())
	assert.Equal(t, VerdictSound, r.Verdict)
	assert.Equal(t, []int64{12, 0, 3}, []int64{r.Entries, r.Erased, r.Checkpoints})
	require.Len(t, r.Streams, 2)
	assert.Equal(t, []int64{0, 8, 8}, []int64{r.Streams[0].First, r.Streams[0].Size, r.Streams[0].Signed})
	assert.Equal(t, "example.com/trail", r.Streams[0].CertifiedBy)
	assert.Empty(t, r.Remarks)

	second := e.next(t)
	r = e.verify(t, second)
	require.NoError(t, r.Err(), "%v", r.Findings)
	assert.Equal(t, VerdictSound, r.Verdict)
	assert.Equal(t, []int64{8, 10}, []int64{r.Streams[0].First, r.Streams[0].Size})
	assert.Contains(t, r.Remarks[0], "2 logs")

	r = e.verify(t, e.text+second)
	require.NoError(t, r.Err(), "%v", r.Findings)
	assert.Equal(t, VerdictSound, r.Verdict)
	assert.EqualValues(t, 16, r.Entries)
	assert.Equal(t, []int64{0, 10, 10}, []int64{r.Streams[0].First, r.Streams[0].Size, r.Streams[0].Signed})
}

// Exports made by earlier versions must remain valid.
func TestExportVector(t *testing.T) {
	const vector, key = "testdata/export.jsonl", "testdata/export.key"
	if *update {
		e := newExported(t)
		require.NoError(t, os.WriteFile(vector, []byte(e.text), 0o644))
		require.NoError(t, os.WriteFile(key, []byte(e.key+"\n"), 0o644))
	}
	text, err := os.ReadFile(vector)
	require.NoError(t, err)
	verifier, err := os.ReadFile(key)
	require.NoError(t, err)
	r, err := VerifyExport(bytes.NewReader(text), strings.TrimSpace(string(verifier)))
	require.NoError(t, err)
	require.NoError(t, r.Err())
	assert.EqualValues(t, 12, r.Entries)
}

func TestVerifyExportNeedsAKeyAndAnExport(t *testing.T) {
	e := newExported(t)
	_, err := VerifyExport(strings.NewReader(e.text))
	require.ErrorContains(t, err, "no verifier key")
	_, err = VerifyExport(strings.NewReader(e.text), "no key")
	require.Error(t, err)
	r := e.verify(t, "")
	assert.Equal(t, VerdictNotCheckable, r.Verdict)
	require.ErrorIs(t, r.Err(), ErrNotCheckable)
	other, err := VerifyExport(strings.NewReader(e.text), newDeployment(t).key)
	require.NoError(t, err)
	require.ErrorIs(t, other.Err(), ErrTampered)
	assert.Equal(t, kindCertificate, other.Findings[0].Kind)
	broken := errors.New("broken")
	_, err = VerifyExport(io.MultiReader(strings.NewReader(e.text), failing{broken}), e.key)
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// An interrupted purge leaves an export without an end. The next purge exports
// its last entries again.
func TestVerifyExportAfterAnInterruption(t *testing.T) {
	d := newDeployment(t)
	w := d.writer(t, 1)
	var out bytes.Buffer
	first := NewExport(&out, "op-1")
	step(t, first, w, 5)
	start, entries, checkpoint := w.write(3)
	require.NoError(t, first.Write(&w.Writer, &start, entries, checkpoint))
	cut := out.String()
	r, err := VerifyExport(strings.NewReader(cut), d.key)
	require.NoError(t, err)
	require.NoError(t, r.Err())
	assert.Equal(t, VerdictNotAnchored, r.Verdict)
	assert.Contains(t, r.Remarks[0], "1 of 1 exports have no end")

	again := NewExport(&out, "op-2")
	require.NoError(t, again.Write(&w.Writer, &start, entries, checkpoint))
	step(t, again, w, 2)
	end(t, again, w)
	r, err = VerifyExport(&out, d.key)
	require.NoError(t, err)
	require.NoError(t, r.Err(), "%v", r.Findings)
	assert.Equal(t, VerdictNotAnchored, r.Verdict)
	assert.Contains(t, r.Remarks[0], "1 of 2 exports have no end")
	assert.EqualValues(t, 10, r.Streams[0].Size)

	nothing := NewExport(&out, "op-3")
	written, err := nothing.End(&w.Writer, w.sign)
	require.NoError(t, err)
	assert.False(t, written)
}

func TestVerifyExportOfErasedEntries(t *testing.T) {
	d := newDeployment(t)
	w := d.writer(t, 1)
	var out bytes.Buffer
	x := NewExport(&out, "op-1")
	start, entries, checkpoint := w.write(5)
	entries = append([]*Entry(nil), entries...)
	entries[2] = erase(entries[2])
	require.NoError(t, x.Write(&w.Writer, &start, entries, checkpoint))
	end(t, x, w)
	r, err := VerifyExport(&out, d.key)
	require.NoError(t, err)
	require.NoError(t, r.Err(), "%v", r.Findings)
	assert.EqualValues(t, 1, r.Erased)
}

// The lines of newExported are: 1 the beginning, 2 writer a, 3 to 7 entries, 8
// a checkpoint, 9 to 11 entries, 12 a checkpoint, 13 writer b, 14 to 17
// entries, 18 a checkpoint, 19 the end.
func TestVerifyExportFindsEveryChange(t *testing.T) {
	e := newExported(t)
	foreign := newExported(t)
	second := strings.SplitAfter(strings.TrimSuffix(e.next(t), "\n")+"\n", "\n")
	second = second[:len(second)-1]
	other := strings.SplitAfter(foreign.text, "\n")
	for name, c := range map[string]struct {
		change func(l []string) []string // index of lines from 0
		kind   string
		line   int
	}{
		"an entry edited":               {edit(4, `files/2`, `files/9`), kindLeaf, 5},
		"an entry and its leaf edited":  {func(l []string) []string { l[4] = e.forged(t); return l }, kindRoot, 8},
		"a personal field edited":       {edit(4, `anna`, `emma`), kindCommitment, 5},
		"a personal field added":        {edit(4, `"salt"`, `"request_id":"x","salt"`), kindCommitment, 5},
		"a salt edited":                 {edit(4, `"salt":"07`, `"salt":"08`), kindCommitment, 5},
		"a salt cut":                    {edit(4, `"salt":"07`, `"salt":"`), kindCommitment, 5},
		"a leaf edited":                 {edit(4, `"leaf":"`, `"leaf":"00`), kindUnreadable, 5},
		"a space":                       {edit(4, `{"entry"`, `{ "entry"`), kindUnreadable, 5},
		"a name twice":                  {edit(4, `{"entry":`, `{"entry":"x","entry":`), kindUnreadable, 5},
		"an unknown member":             {edit(4, `{"entry":`, `{"x":1,"entry":`), kindUnreadable, 5},
		"an entry that is none":         {edit(4, `"outcome`, `"outcomes`), kindUnreadable, 5},
		"no JSON":                       {func(l []string) []string { l[4] = "x\n"; return l }, kindUnreadable, 5},
		"an empty line":                 {func(l []string) []string { return insert(l, 4, "\n") }, kindUnreadable, 5},
		"an entry removed":              {func(l []string) []string { return remove(l, 4, 5) }, kindSequence, 5},
		"the first entry removed":       {func(l []string) []string { return remove(l, 2, 3) }, kindSequence, 3},
		"the last entry removed":        {func(l []string) []string { return remove(l, 6, 7) }, kindRoot, 7},
		"the last of b removed":         {func(l []string) []string { return remove(l, 16, 17) }, kindRoot, 17},
		"an entry twice":                {func(l []string) []string { return insert(l, 4, l[4]) }, kindSequence, 6},
		"two entries swapped":           {func(l []string) []string { l[4], l[5] = l[5], l[4]; return l }, kindSequence, 5},
		"an entry of b in a":            {func(l []string) []string { return insert(l, 4, l[14]) }, kindUnreadable, 5},
		"an entry moved to b":           {func(l []string) []string { return insert(remove(l, 6, 7), 12, l[6]) }, kindRoot, 7},
		"a checkpoint removed":          {func(l []string) []string { return remove(l, 11, 12) }, kindUnsigned, 12},
		"a checkpoint swapped":          {func(l []string) []string { l[7], l[11] = l[11], l[7]; return l }, kindRoot, 8},
		"a checkpoint of b":             {func(l []string) []string { l[7] = l[17]; return l }, kindSignature, 8},
		"a checkpoint edited":           {edit(7, `\n5\n`, `\n4\n`), kindSignature, 8},
		"a checkpoint of another trail": {func(l []string) []string { l[7] = other[7]; return l }, kindSignature, 8},
		"a step removed":                {func(l []string) []string { return remove(l, 8, 12) }, kindCut, 15},
		"a writer removed":              {func(l []string) []string { return remove(l, 12, 18) }, kindCut, 13},
		"writers swapped": {func(l []string) []string {
			return append(append(append([]string{l[0]}, l[12:18]...), l[1:12]...), l[18])
		}, kindRoot, 19},
		"a writer's line removed":      {func(l []string) []string { return remove(l, 12, 13) }, kindUnreadable, 13},
		"the first writer's line gone": {func(l []string) []string { return remove(l, 1, 2) }, kindUnreadable, 2},
		"a writer of another trail":    {func(l []string) []string { l[1] = other[1]; return l }, kindCertificate, 2},
		"a writer's origin edited":     {edit(1, `"origin":"host"`, `"origin":"else"`), kindCertificate, 2},
		"a writer begins later":        {edit(1, `"from":0`, `"from":1`), kindFrontier, 2},
		"a writer begins before 0":     {edit(1, `"from":0`, `"from":-1`), kindFrontier, 2},
		"the beginning removed":        {func(l []string) []string { return l[1:] }, kindUnreadable, 1},
		"another version":              {edit(0, `"version":1`, `"version":2`), kindUnreadable, 1},
		"another operation":            {edit(0, `op-1`, `op-9`), kindRoot, 19},
		"cut within a line":            {func(l []string) []string { l[4] = l[4][:40]; return l[:5] }, kindUnreadable, 5},
		"cut within a step":            {func(l []string) []string { return l[:6] }, kindUnsigned, 6},
		"no end of the last line":      {func(l []string) []string { l[18] = strings.TrimSuffix(l[18], "\n"); return l }, kindUnreadable, 19},
		"an end of another trail":      {func(l []string) []string { l[18] = other[18]; return l }, kindSignature, 19},
		"an end of another export":     {func(l []string) []string { l[18] = second[len(second)-1]; return l }, kindCut, 19},
		"an end edited":                {edit(18, `lines 18`, `lines 19`), kindSignature, 19},
		"two ends":                     {func(l []string) []string { return append(l, l[18]) }, kindUnreadable, 20},
		"an export left out":           {func(l []string) []string { return append(l[:18:18], e.later(t)...) }, kindSequence, 20},
		"exports swapped":              {func(l []string) []string { return append(append([]string(nil), second...), l...) }, kindSequence, len(second) + 2},
		"a line that is too long":      {func(l []string) []string { return insert(l, 4, strings.Repeat("x", maxLine+1)+"\n") }, kindUnreadable, 5},
	} {
		t.Run(name, func(t *testing.T) {
			lines := strings.SplitAfter(e.text, "\n")
			lines = c.change(lines[:len(lines)-1])
			r := e.verify(t, strings.Join(lines, ""))
			require.ErrorIs(t, r.Err(), ErrTampered)
			f := r.Findings[0]
			assert.Equal(t, []any{c.kind, c.line}, []any{f.Kind, f.Line}, "%v", r.Findings)
			assert.Contains(t, f.String(), fmt.Sprintf("line %d", c.line))
		})
	}
}

// later is an export that begins after entries missing from e.text.
func (e *exported) later(t *testing.T) []string {
	t.Helper()
	e.a.write(3)
	var out bytes.Buffer
	x := NewExport(&out, "op-3")
	step(t, x, e.a, 1)
	end(t, x, e.a)
	return strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// forged is the line of an entry 2 of a that the writer did not write.
func (e *exported) forged(t *testing.T) string {
	t.Helper()
	f := *e.a.entries[2]
	f.Values = append([]any(nil), f.Values...)
	f.Values[columnOf("file_key")] = "files/9"
	f.Seal()
	line, err := (&exportLine{Entry: string(f.Canonical(nil)), Leaf: hex.EncodeToString(f.Leaf[:]), Personal: f.personal()}).encode()
	require.NoError(t, err)
	return string(line)
}

func edit(line int, from, to string) func([]string) []string {
	return func(l []string) []string {
		if !strings.Contains(l[line], from) {
			panic("there is no " + from + " in " + l[line])
		}
		l[line] = strings.Replace(l[line], from, to, 1)
		return l
	}
}

func insert(l []string, i int, line string) []string {
	return append(append(append([]string(nil), l[:i]...), line), l[i:]...)
}

func remove(l []string, from, to int) []string {
	return append(append([]string(nil), l[:from]...), l[to:]...)
}

// VerifyExport detects every change of a single byte and every removed line.
func TestVerifyExportFindsEveryByte(t *testing.T) {
	e := newExported(t)
	step := 7
	if testing.Short() {
		step = 70
	}
	for i := 0; i < len(e.text); i += step {
		changed := []byte(e.text)
		changed[i] ^= 1
		r := e.verify(t, string(changed))
		require.ErrorIs(t, r.Err(), ErrTampered, "byte %d", i)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(e.text, "\n"), "\n")
	for i := range lines[:len(lines)-1] {
		r := e.verify(t, strings.Join(remove(lines, i, i+1), "")+"\n")
		require.ErrorIs(t, r.Err(), ErrTampered, "line %d", i+1)
	}
}

// Memory use grows neither with the number of entries nor with the length of a
// line.
func TestVerifyExportInBoundedMemory(t *testing.T) {
	d := newDeployment(t)
	w := d.writer(t, 1)
	batches := 40
	if testing.Short() {
		batches = 10
	}
	r, pipe := io.Pipe()
	go func() {
		x := NewExport(pipe, "op-1")
		for range batches {
			start, entries, checkpoint := w.write(500)
			if x.Write(&w.Writer, &start, entries, checkpoint) != nil {
				return
			}
			for i := range w.entries[:start.Size] {
				w.entries[i] = nil // written
			}
		}
		_, err := x.End(&w.Writer, w.sign)
		for range 64 { // one line of 64 MiB
			_, _ = pipe.Write(bytes.Repeat([]byte("x"), 1<<20))
		}
		pipe.CloseWithError(err)
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	report, err := VerifyExport(r, d.key)
	require.NoError(t, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	assert.EqualValues(t, 500*batches, report.Entries)
	assert.Equal(t, 1, report.Total, "%v", report.Findings)
	assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(8<<20))
}
