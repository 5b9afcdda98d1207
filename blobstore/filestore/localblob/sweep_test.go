// This file tests sweeping. It removes leftovers of dead processes and nothing
// of live ones.

package localblob

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
)

// holdChild keeps a write open until its standard input ends, and then
// completes it.
func holdChild() int {
	bkt, err := openBlob(os.Getenv("LOCALBLOB_TEST_DIR"), nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	w, err := bkt.NewWriter(context.Background(), "held", &blob.WriterOptions{ContentType: "text/held"})
	if err == nil {
		_, err = io.WriteString(w, body("held"))
	}
	fmt.Println("ready", err)
	io.Copy(io.Discard, os.Stdin)
	if err := w.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func TestSweepKnowsTheDead(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	start := func() (*exec.Cmd, io.Closer) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"=hold", "LOCALBLOB_TEST_DIR="+dir)
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "ready <nil>\n", line)
		return cmd, in
	}
	alive, in := start()
	dead, deadIn := start()
	defer deadIn.Close()
	require.Len(t, files(t, dir), 2)
	require.NoError(t, dead.Process.Kill())
	require.Error(t, dead.Wait())

	bkt, _ := openTest(t, dir, nil) // sweeps
	require.Len(t, files(t, dir), 1, "the file of the process that was killed is gone, the other is there")
	swept, err := of(bkt).Sweep(ctx, "")
	require.NoError(t, err)
	require.Zero(t, swept)
	require.Empty(t, keys(t, bkt, nil))

	require.NoError(t, in.Close())
	require.NoError(t, alive.Wait(), "the writer that lives can finish")
	require.Equal(t, "held", version(t, bkt, "held"))
	require.Len(t, files(t, dir), 2)
}

func TestSweepSidecars(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, nil)
	for _, key := range []string{"kept", "a/b/lost", "a/kept"} {
		require.NoError(t, put(ctx, bkt, key, "v", false))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "a/b/lost")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "theirs.attrs"), []byte(`{"user.content_type":"text/plain"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "somebody's.attrs"), []byte("not ours"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, tempDir, "dead"), nil, 0o600))
	swept, err := of(bkt).Sweep(ctx, "")
	require.NoError(t, err)
	assert.Equal(t, 3, swept, "a temporary file and two of attributes")
	assert.Equal(t, []string{"a/kept", "a/kept.attrs", "kept", "kept.attrs", "somebody's.attrs"}, files(t, dir))
	assert.NoDirExists(t, filepath.Join(dir, "a/b"))
}

// The private folder stays open, but a user may remove it.
func TestPrivateFolderIsRemoved(t *testing.T) {
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, nil)
	for _, key := range []string{"one", "two"} {
		require.NoError(t, put(t.Context(), bkt, key, key, true))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, privateDir)))
	}
	require.NoError(t, put(t.Context(), bkt, "three", "three", true))
	for _, key := range []string{"one", "two", "three"} {
		got, err := bkt.ReadAll(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, body(key), string(got))
	}
}
