package provider

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSourceHead(t *testing.T) {
	small, large := &Buffers{Size: 4}, &Buffers{Size: 8}
	for size, want := range map[int]struct {
		head  int
		whole bool
	}{0: {0, true}, 3: {3, true}, 4: {4, true}, 5: {5, true}, 8: {8, true}, 9: {8, false}, 20: {8, false}} {
		content := bytes.Repeat([]byte("abcdefg"), 3)[:size]
		for name, r := range map[string]io.Reader{
			"at once": bytes.NewReader(content), "by bytes": iotest.OneByteReader(bytes.NewReader(content)), "with EOF": iotest.DataErrReader(bytes.NewReader(content)),
		} {
			src := NewSource(t.Context(), r)
			head, release, whole, err := src.Head(small, large)
			require.NoError(t, err)
			assert.Equal(t, want.whole, whole, "%d %s", size, name)
			assert.Equal(t, content[:want.head], head[:want.head:want.head], "%d %s", size, name)
			assert.Len(t, head, want.head)
			head = bytes.Clone(head)
			release()
			rest, err := io.ReadAll(src)
			require.NoError(t, err)
			assert.Equal(t, string(content), string(head)+string(rest), "what AtEnd looked at is not lost")
			assert.True(t, src.Ended())
		}
	}
}

func TestSourceFails(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{0, 3, 4, 6, 8} {
		src := NewSource(t.Context(), io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken)))
		head, release, whole, err := src.Head(&Buffers{Size: 4}, &Buffers{Size: 8})
		require.ErrorIs(t, err, broken)
		require.ErrorIs(t, src.Err(), broken)
		assert.False(t, whole)
		assert.Len(t, head, size)
		release()
		_, err = src.Fill(make([]byte, 1))
		require.ErrorIs(t, err, broken, "and it stays so")
		assert.False(t, src.Ended())
	}
}

func TestSourceNoticesTheEndOfItsContext(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	src := NewSource(ctx, bytes.NewReader(make([]byte, 10)))
	n, err := src.Fill(make([]byte, 4))
	require.NoError(t, err)
	require.Equal(t, 4, n)
	cancel(why)
	n, err = src.Fill(make([]byte, 4))
	require.ErrorIs(t, err, why)
	require.Zero(t, n)
	require.ErrorIs(t, src.Err(), why)
}

func TestSourceWithoutProgress(t *testing.T) {
	src := NewSource(t.Context(), idle{})
	_, err := src.Fill(make([]byte, 4))
	require.ErrorIs(t, err, io.ErrNoProgress)
}

// idle returns neither bytes nor an error.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestWithFinal(t *testing.T) {
	meta := map[string]string{"a": "b", "c": "d"}
	got := WithFinal(meta, func() map[string]string { return map[string]string{"c": "e"} })
	assert.Equal(t, map[string]string{"a": "b", "c": "e"}, got)
	assert.Equal(t, "d", meta["c"], "the caller's map stays as it is")
	assert.Equal(t, meta, WithFinal(meta, nil))
	assert.NotNil(t, WithFinal(nil, nil))
}
