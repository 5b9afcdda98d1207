package filestore

// This file tests the leftovers of a crash in a file:// bucket, and a full
// disk.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/internal/provider"
)

func write(t *testing.T, b driver.Bucket, key, data, op string) {
	t.Helper()
	require.NoError(t, b.Write(t.Context(), key, strings.NewReader(data), options(op)))
}

func options(op string) *driver.WriteOptions {
	return &driver.WriteOptions{ContentType: "text/plain", Size: -1, Metadata: map[string]string{provider.MetaOp: op}}
}

func read(t *testing.T, b driver.Bucket, key string) (data, op string) {
	t.Helper()
	r, err := b.Read(t.Context(), key, 0, -1)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, errors.Join(err, r.Close()))
	return string(got), r.Attributes.Metadata[provider.MetaOp]
}

const tempOfA = "a.0123456789abcdef.tmp"

func TestSweepRemovesWhatTheDeadLeft(t *testing.T) {
	dir := t.TempDir()
	b := openDir(t, dir)
	write(t, b, "b", "other", "op")
	leave := map[string]bool{ // by name: is it to stay?
		tempOfA: false, "a.attrs": false,
		"a.x.0123456789abcdef.tmp": true, "b.0123456789abcdef.tmp": true, "a.tmp": true, "a.0123.tmp": true, "aa.0123456789abcdef.tmp": true,
	}
	for name := range leave {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o600))
	}
	require.NoError(t, b.Sweep(t.Context(), "a"))
	for name, stays := range leave {
		_, err := os.Stat(filepath.Join(dir, name))
		assert.Equal(t, stays, err == nil, name)
	}
	data, _ := read(t, b, "b")
	assert.Equal(t, "other", data)
	require.NoError(t, b.Sweep(t.Context(), "no/such/folder"))
	require.NoError(t, b.Sweep(t.Context(), "b/below/a/file"))
}

// Attributes of an existing object are not orphans.
func TestSweepLeavesObjectsAlone(t *testing.T) {
	b := openDir(t, t.TempDir())
	write(t, b, "a", "data", "op")
	require.NoError(t, b.Sweep(t.Context(), "a"))
	data, op := read(t, b, "a")
	assert.Equal(t, "data", data)
	assert.Equal(t, "op", op)
}

func TestSweepLeavesLiveWritersAlone(t *testing.T) {
	dir := t.TempDir()
	b, stranger := openDir(t, dir), openDir(t, dir)
	started, finish, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- b.Write(t.Context(), "a", io.MultiReader(strings.NewReader("live"), &waiting{started: started, finish: finish}), options("op"))
	}()
	<-started
	require.NoError(t, stranger.Sweep(t.Context(), "a"))
	temps, err := filepath.Glob(filepath.Join(dir, "a.*.tmp"))
	require.NoError(t, err)
	require.Len(t, temps, 1)
	close(finish)
	require.NoError(t, <-done)
	data, _ := read(t, b, "a")
	assert.Equal(t, "live", data)
}

type waiting struct {
	started, finish chan struct{}
	once            sync.Once
}

func (w *waiting) Read([]byte) (int, error) {
	w.once.Do(func() { close(w.started) })
	<-w.finish
	return 0, io.EOF
}

// A process that dies between the attributes and the content of a replacement
// leaves the old content under the new attributes.
func TestSweepFinishesAHalfReplacement(t *testing.T) {
	dir := t.TempDir()
	b := openDir(t, dir)
	half := func(temp string) {
		write(t, b, "a", "new content", "new")
		attrs, err := os.ReadFile(filepath.Join(dir, "a.attrs"))
		require.NoError(t, err)
		write(t, b, "a", "old content", "old")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a.attrs"), attrs, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, tempOfA), []byte(temp), 0o600))
	}
	half("new content")
	require.NoError(t, b.Sweep(t.Context(), "a"))
	data, op := read(t, b, "a")
	assert.Equal(t, "new content", data)
	assert.Equal(t, "new", op)
	assert.Empty(t, residue(t, b, ""))

	half("of something else") // is no ground to touch the object
	require.NoError(t, b.Sweep(t.Context(), "a"))
	data, _ = read(t, b, "a")
	assert.Equal(t, "old content", data)
	assert.Empty(t, residue(t, b, ""))
}

// Within one process, create-only is exact.
func TestFileCreateRace(t *testing.T) {
	b := openDir(t, t.TempDir())
	for round := range 50 {
		key := fmt.Sprint("k", round)
		var wins atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				o := options(fmt.Sprint(i))
				o.IfNotExist = true
				err := b.Write(t.Context(), key, strings.NewReader(fmt.Sprint(i)), o)
				if err == nil {
					wins.Add(1)
				} else {
					assert.ErrorIs(t, err, fs.ErrExist)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int32(1), wins.Load())
		data, op := read(t, b, key)
		assert.Equal(t, data, op, "content and attributes of the winner")
	}
}

// Files without a valid key are not listed. Other programs' files with a valid
// key are.
func TestFileListShowsObjectsOnly(t *testing.T) {
	dir := t.TempDir()
	b := openDir(t, dir)
	write(t, b, "d/a", "x", "op")
	for _, name := range []string{"plain.txt", tempOfA, "x.attrs", "d/ends.", ".blobtrail/tmp", "a\\b"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "empty/folder"), 0o700))
	for _, c := range []struct {
		prefix, delimiter string
		want              []string
	}{
		{"", "", []string{"d/a", "plain.txt"}},
		{"", "/", []string{"d/", "plain.txt"}},
		{"d/", "/", []string{"d/a"}},
		{"", "l", []string{"d/a", "pl"}},
		{".blobtrail/", "", nil},
		{"../", "", nil},
		{"/", "", nil},
	} {
		var got []string
		for obj, err := range b.List(t.Context(), &blob.ListOptions{Prefix: c.prefix, Delimiter: c.delimiter}) {
			require.NoError(t, err)
			got = append(got, obj.Key)
		}
		assert.Equal(t, c.want, got, "%+v", c)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	mountTiny(t, dir, 256<<10)
	b := openDir(t, dir)
	big := func() io.Reader { return bytes.NewReader(make([]byte, 1<<20)) }
	err := b.Write(t.Context(), "new", big(), options("op"))
	require.ErrorIs(t, err, noSpace)
	assert.Empty(t, residue(t, b, ""))
	_, err = b.Read(t.Context(), "new", 0, -1)
	require.ErrorIs(t, err, fs.ErrNotExist)

	write(t, b, "a", "old", "old")
	require.ErrorIs(t, b.Write(t.Context(), "a", big(), options("new")), noSpace)
	data, op := read(t, b, "a")
	assert.Equal(t, "old", data)
	assert.Equal(t, "old", op)

	// The content fits exactly, but not the attributes.
	fill := 0
	for size := 4 << 10; ; size += 4 << 10 {
		o := options("new")
		o.Metadata["pad"] = strings.Repeat("x", 1500)
		if err = b.Write(t.Context(), "a", bytes.NewReader(make([]byte, size)), o); err != nil {
			break
		}
		fill = size
		write(t, b, "a", "old", "old")
	}
	t.Logf("the last that fitted had %d KiB", fill>>10)
	require.NotZero(t, fill)
	require.ErrorIs(t, err, noSpace)
	data, op = read(t, b, "a")
	assert.Equal(t, "old", data)
	assert.Equal(t, "old", op, "the attributes of the old object")
	assert.Empty(t, residue(t, b, ""))

	// Only the attributes do not fit.
	require.NoError(t, fillUp(filepath.Join(dir, "filler")))
	require.ErrorIs(t, b.Write(t.Context(), "b", strings.NewReader(""), options("op")), noSpace)
	require.ErrorIs(t, b.Write(t.Context(), "a", strings.NewReader(""), func() *driver.WriteOptions {
		o := options("new")
		o.Metadata["pad"] = strings.Repeat("x", 9000)
		return o
	}()), noSpace)
	data, op = read(t, b, "a")
	assert.Equal(t, "old", data)
	assert.Equal(t, "old", op)
}

// fillUp writes a file until the disk is full.
func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	if errors.Is(err, noSpace) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

func TestCancelledBeforehandLeavesNothing(t *testing.T) {
	b := openDir(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	require.ErrorIs(t, b.Write(ctx, "a", strings.NewReader("x"), options("op")), context.DeadlineExceeded)
	assert.Empty(t, residue(t, b, ""))
}

func TestFileURL(t *testing.T) {
	dir := t.TempDir()
	for url, want := range map[string]string{
		"file://":                                 "the URL has no folder",
		"file://" + dir + "/none":                 "does not exist",
		"file://" + dir + "?metadata=skip":        "metadata=skip",
		"file://" + dir + "?craete=true":          `unknown parameter "craete"`,
		"file://" + dir + "?create=perhaps":       "want true or false",
		"file://" + dir + "?dir_file_mode=rwxr-x": "octal",
	} {
		_, err := driver.Open(t.Context(), url, driver.Credentials{})
		require.ErrorContains(t, err, want, url)
	}
	b, err := driver.Open(t.Context(), "file://"+dir+"/new/folder?create=true", driver.Credentials{})
	require.NoError(t, err)
	assert.Equal(t, driver.Info{Backend: "local", Bucket: dir + "/new/folder", Capabilities: driver.Capabilities{Durable: true}, Needs: needs}, b.Info())
	require.NoError(t, b.Close())
}
