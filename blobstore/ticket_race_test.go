package blobstore

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
)

// hooked calls a function on its first Read.
type hooked struct {
	io.Reader
	do func()
}

func (h *hooked) Read(p []byte) (int, error) {
	if h.do != nil {
		do := h.do
		h.do = nil
		do()
	}
	return h.Reader.Read(p)
}

// A client may send its content twice under one ticket, without waiting for the
// first response. The trail must still describe the stored content, and an
// acknowledged upload must not be lost.
func TestTicketSentTwice(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"whole":                   strings.NewReader("the second's bytes"),
		"breaking off in the end": io.MultiReader(strings.NewReader(strings.Repeat("x", 100<<10)), &failingReader{err: errors.New("gone")}),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirect(t, false)
			tk, err := d.BeginUpload(d.ctx, "a", 0, nil)
			require.NoError(t, err)
			first, err := d.redeem(t, tk, "")
			require.NoError(t, err)
			second, err := d.redeem(t, tk, "")
			require.NoError(t, err)
			var firstErr error
			sending := &hooked{Reader: body, do: func() {
				_, firstErr = first.Upload(d.ctx, strings.NewReader("the first's bytes"), nil)
			}}
			// The first upload finishes while the second is running.
			_, secondErr := second.Upload(d.ctx, sending, nil)
			require.NoError(t, firstErr)
			require.Error(t, secondErr)
			_, err = d.Stat(d.ctx, "a")
			require.ErrorIs(t, err, fs.ErrNotExist, "it is no file before it is accepted")
			obj, err := d.complete(tk)
			require.NoError(t, err)
			r, err := d.Download(d.ctx, "a", nil)
			require.NoError(t, err)
			defer r.Close()
			content, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, "the first's bytes", string(content))
			n := 0
			for e, err := range d.trail.Entries(d.ctx, audit.Query{Key: "a", Actions: []audit.Action{audit.ActionUpload}, Outcomes: []audit.Outcome{audit.OutcomeOK}}) {
				require.NoError(t, err)
				require.Equal(t, int64(len(content)), *e.Size, "the trail tells of other bytes than those that stand")
				n++
			}
			require.Equal(t, 1, n)
			require.Equal(t, tk.ID, obj.OpID)
			require.Equal(t, []string{"a"}, d.objects(t))
		})
	}
}

// A request for completion must not interrupt the upload.
func TestCompleteWhileSending(t *testing.T) {
	d := newDirect(t, false)
	tk, err := d.BeginUpload(d.ctx, "a", 0, nil)
	require.NoError(t, err)
	body := &hooked{Reader: strings.NewReader("content"), do: func() {
		_, err := d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}}
	red, err := d.redeem(t, tk, "")
	require.NoError(t, err)
	_, err = red.Upload(d.ctx, body, nil)
	require.NoError(t, err)
	_, err = d.Ticket(tk.Key, tk.ID).Complete(d.ctx)
	require.NoError(t, err)
	require.Zero(t, d.trail.OpenIntents())
	n := 0
	for e, err := range d.trail.Entries(d.ctx, audit.Query{OpID: tk.ID, Actions: []audit.Action{audit.ActionUpload}}) {
		require.NoError(t, err)
		require.Equal(t, audit.OutcomeOK, e.Outcome)
		n++
	}
	require.Equal(t, 1, n, "settled once")
}
