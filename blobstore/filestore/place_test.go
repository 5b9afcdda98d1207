package filestore_test

// This file tests unusual folders: links and other files in place of folders,
// and a folder that is missing or was never used.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/filestore"
)

type place struct {
	*blobstore.Store
	dir   string
	trail *audit.Memory
	ctx   context.Context
}

func openPlace(t *testing.T, scheme, dir string) *place {
	t.Helper()
	p := &place{dir: dir, trail: &audit.Memory{}, ctx: audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})}
	var err error
	p.Store, err = blobstore.Open(p.ctx, scheme+"://"+filepath.ToSlash(dir), p.trail, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	return p
}

func (p *place) put(t *testing.T, key, content string) {
	t.Helper()
	_, err := p.Upload(p.ctx, key, strings.NewReader(content), nil)
	require.NoError(t, err)
}

// reconcile settles all open operations, as if every lease had expired.
func (p *place) reconcile() (blobstore.Reconciled, error) {
	p.trail.Now = func() time.Time { return time.Now().Add(time.Hour) }
	defer func() { p.trail.Now = nil }()
	return p.Reconcile(p.ctx)
}

func download(s *blobstore.Store, ctx context.Context, key string) (string, error) {
	r, err := s.Download(ctx, key, nil)
	if err != nil {
		return "", err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return string(content), err
}

func TestLinkedFolderIsRefusedBeforeTheIntent(t *testing.T) {
	for name, target := range map[string]func(t *testing.T, root string) string{
		"out of the root":              func(t *testing.T, _ string) string { return t.TempDir() },
		"out of the root, relative":    func(*testing.T, string) string { return ".." },
		"within the root":              func(*testing.T, string) string { return "other" },
		"to nothing":                   func(*testing.T, string) string { return "nothing" },
		"to nothing, out of the root":  func(t *testing.T, _ string) string { return filepath.Join(t.TempDir(), "nothing") },
		"to itself":                    func(*testing.T, string) string { return "linked" },
		"to a file":                    func(*testing.T, string) string { return "other/a" },
		"to the root by absolute path": func(_ *testing.T, root string) string { return root },
	} {
		for _, deep := range []string{"linked/a", "linked/b/a"} {
			t.Run(name+" "+deep, func(t *testing.T) {
				p := openPlace(t, "local", t.TempDir())
				p.put(t, "other/a", "another")
				require.NoError(t, os.Symlink(target(t, p.dir), filepath.Join(p.dir, "linked")))
				for op, fn := range map[string]func() error{
					"upload": func() error { _, err := p.Upload(p.ctx, deep, strings.NewReader("x"), nil); return err },
					"overwrite": func() error {
						_, err := p.Upload(p.ctx, deep, strings.NewReader("x"), &blobstore.UploadOptions{Overwrite: true})
						return err
					},
					"stage":  func() error { _, err := p.Stage(p.ctx, deep, strings.NewReader("x"), nil); return err },
					"copy":   func() error { return p.Copy(p.ctx, deep, "other/a", nil) },
					"move":   func() error { return p.Move(p.ctx, deep, "other/a", nil) },
					"delete": func() error { return p.Delete(p.ctx, deep, nil) },
				} {
					err := fn()
					require.ErrorIs(t, err, blobstore.ErrPath, op)
					require.NotErrorIs(t, err, fs.ErrNotExist, op)
					require.NotErrorIs(t, err, blobstore.ErrInDoubt, op)
					require.ErrorContains(t, err, `"linked" is a symbolic link`, op)
					require.ErrorContains(t, err, deep, op)
				}
				require.Zero(t, p.trail.OpenIntents(), "nothing was begun")
				content, err := download(p.Store, p.ctx, "other/a")
				require.NoError(t, err)
				require.Equal(t, "another", content)
				_, err = os.Lstat(filepath.Join(p.dir, "linked"))
				require.NoError(t, err, "the link stays")
			})
		}
	}
}

// If a folder becomes a link during an operation, the operation is settled and
// does not delay others.
func TestReconcilePassesALink(t *testing.T) {
	p := openPlace(t, "local", t.TempDir())
	begin := func(a audit.Action, key string) {
		_, err := p.trail.Begin(p.ctx, audit.Event{Action: a, Key: key, Backend: p.Info().Backend, Bucket: p.dir, Details: audit.Details{ETag: `"1"`}}, time.Minute)
		require.NoError(t, err)
	}
	begin(audit.ActionUpload, "linked/a")
	begin(audit.ActionDelete, "linked/b")
	begin(audit.ActionUpload, "file")
	begin(audit.ActionUpload, "other/a")
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(p.dir, "linked")))
	require.NoError(t, os.Symlink(filepath.Join(t.TempDir(), "x"), filepath.Join(p.dir, "file")))
	done, err := p.reconcile()
	require.NoError(t, err)
	require.Equal(t, blobstore.Reconciled{Failed: 1, Unknown: 3}, done)
	require.Zero(t, p.trail.OpenIntents())
	done, err = p.Reconcile(p.ctx)
	require.NoError(t, err, "neither is it held up later")
	require.Zero(t, done)
}

// If a link appears during an upload, nothing is stored behind it.
func TestLinkMadeDuringAnUpload(t *testing.T) {
	p := openPlace(t, "local", t.TempDir())
	outside := t.TempDir()
	r := io.MultiReader(strings.NewReader("x"), readFunc(func() error {
		if err := os.Symlink(outside, filepath.Join(p.dir, "linked")); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return io.EOF
	}))
	_, err := p.Upload(p.ctx, "linked/a", r, nil)
	require.ErrorIs(t, err, blobstore.ErrPath)
	require.NotErrorIs(t, err, blobstore.ErrInDoubt)
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Zero(t, p.trail.OpenIntents())
}

type readFunc func() error

func (f readFunc) Read([]byte) (int, error) { return 0, f() }

func TestOddPlacesAreClearErrors(t *testing.T) {
	dir := t.TempDir()
	p := openPlace(t, "local", dir)
	p.put(t, "a", "a")
	// Other backends also refuse a file in place of a folder.
	_, err := p.Upload(p.ctx, "a/b", strings.NewReader("x"), nil)
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = p.Stat(p.ctx, "a/b")
	require.ErrorIs(t, err, fs.ErrNotExist)
	// A link that leads out of the folder cannot be read and is not replaced
	// accidentally.
	require.NoError(t, os.Symlink(filepath.Join(t.TempDir(), "x"), filepath.Join(dir, "out")))
	_, err = p.Stat(p.ctx, "out")
	require.ErrorIs(t, err, blobstore.ErrPath)
	_, err = p.Upload(p.ctx, "out", strings.NewReader("x"), nil)
	require.ErrorIs(t, err, blobstore.ErrPath)
	require.NotErrorIs(t, err, blobstore.ErrInDoubt)
	// A link that stays inside the folder can be read.
	require.NoError(t, os.Symlink("a", filepath.Join(dir, "in")))
	content, err := download(p.Store, p.ctx, "in")
	require.NoError(t, err)
	require.Equal(t, "a", content)
	// The longest possible segments of a key fit.
	long := strings.Repeat("n", 200) + "/" + strings.Repeat("m", 200)
	p.put(t, long, "x")
	require.NoError(t, p.Delete(p.ctx, long, nil))
	require.Zero(t, p.trail.OpenIntents())
}

func TestRootMayBeALink(t *testing.T) {
	real, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(real, link))
	p := openPlace(t, "local", link)
	p.put(t, "a/b", "x")
	require.NoError(t, p.Check(p.ctx))
	// The link now leads to another folder.
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink(t.TempDir(), link))
	_, err := p.Upload(p.ctx, "c", strings.NewReader("x"), nil)
	require.ErrorIs(t, err, blobstore.ErrNoBucket)
	require.ErrorContains(t, err, "is not the one that was opened")
}

func TestCheckWarnsOfWhatIsNoObject(t *testing.T) {
	var logged bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	defer slog.SetDefault(before)
	p := openPlace(t, "local", t.TempDir())
	require.NoError(t, os.Symlink(t.TempDir(), filepath.Join(p.dir, "linked")))
	require.NoError(t, p.Check(p.ctx))
	require.Contains(t, logged.String(), "level=WARN")
	require.Contains(t, logged.String(), "linked")
	require.Contains(t, logged.String(), "symbolic link")
	n := logged.Len()
	require.NoError(t, p.Check(p.ctx))
	require.Equal(t, n, logged.Len(), "once, not with every probe")
}

// A missing folder proves nothing about an object.
func TestMissingFolderIsNotAMissingObject(t *testing.T) {
	for _, scheme := range []string{"local", "file"} {
		for name, vanish := range map[string]func(t *testing.T, dir string){
			"removed": func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(dir)) },
			"renamed": func(t *testing.T, dir string) { require.NoError(t, os.Rename(dir, dir+".old")) },
			"removed and made anew": func(t *testing.T, dir string) {
				require.NoError(t, os.RemoveAll(dir))
				require.NoError(t, os.Mkdir(dir, 0o700))
			},
			"replaced by a file": func(t *testing.T, dir string) {
				require.NoError(t, os.RemoveAll(dir))
				require.NoError(t, os.WriteFile(dir, nil, 0o600))
			},
		} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "files")
				require.NoError(t, os.Mkdir(dir, 0o700))
				p := openPlace(t, scheme, dir)
				p.put(t, "d/a", "content")
				p.put(t, "b", "content")
				_, err := p.trail.Begin(p.ctx, audit.Event{Action: audit.ActionDelete, Key: "d/a", Backend: p.Info().Backend, Bucket: p.dir, Details: audit.Details{ETag: `"1"`}}, time.Minute)
				require.NoError(t, err)
				vanish(t, dir)
				requireNoBucket(t, p, name == "renamed" && scheme == "local")
				_, err = p.reconcile()
				require.ErrorIs(t, err, blobstore.ErrNoBucket)
				require.Equal(t, 1, p.trail.OpenIntents(), "no operation is settled by it")
				for e, err := range p.trail.Entries(p.ctx, audit.Query{Actions: []audit.Action{audit.ActionDelete}}) {
					require.NoError(t, err)
					require.NotEqual(t, audit.OutcomeOK, e.Outcome)
				}
				if name == "removed" {
					_, err := os.Lstat(dir)
					require.ErrorIs(t, err, fs.ErrNotExist, "nothing made the folder anew")
				}
			})
		}
	}
}

func requireNoBucket(t *testing.T, p *place, open bool) {
	t.Helper()
	if open { // the folder can be read as long as it is open
		content, err := download(p.Store, p.ctx, "d/a")
		require.NoError(t, err)
		require.Equal(t, "content", content)
	}
	for op, fn := range map[string]func() error{
		"stat":          func() error { _, err := p.Stat(p.ctx, "d/a"); return err },
		"missing":       func() error { _, err := p.Stat(p.ctx, "no"); return err },
		"download":      func() error { _, err := download(p.Store, p.ctx, "d/a"); return err },
		"upload":        func() error { _, err := p.Upload(p.ctx, "d/new", strings.NewReader("x"), nil); return err },
		"stage":         func() error { _, err := p.Stage(p.ctx, "new", strings.NewReader("x"), nil); return err },
		"delete":        func() error { return p.Delete(p.ctx, "d/a", nil) },
		"copy":          func() error { return p.Copy(p.ctx, "c", "b", nil) },
		"move":          func() error { return p.Move(p.ctx, "c", "b", nil) },
		"delete prefix": func() error { _, err := p.DeletePrefix(p.ctx, "d/", nil); return err },
		"list":          func() error { return last(p.List(p.ctx, nil)) },
		"list, folded":  func() error { return last(p.List(p.ctx, &blobstore.ListOptions{Prefix: "d/", Delimiter: "/"})) },
		"scrub":         func() error { return last(p.Scrub(p.ctx, nil)) },
		"check":         func() error { return p.Check(p.ctx) },
	} {
		if open && (op == "stat" || op == "download") {
			continue
		}
		err := fn()
		assert.ErrorIs(t, err, blobstore.ErrNoBucket, op)
		assert.NotErrorIs(t, err, fs.ErrNotExist, op)
	}
	var ce *blobstore.CheckError
	require.ErrorAs(t, p.Check(p.ctx), &ce)
	require.Contains(t, ce.Advice, "does not exist")
}

func last[V any](seq iter.Seq2[V, error]) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}

// The folder shows no sign of use, but the trail has entries about it.
func TestUnusedFolderIsRefused(t *testing.T) {
	for _, scheme := range []string{"local", "file"} {
		t.Run(scheme, func(t *testing.T) {
			dir, trail := filepath.Join(t.TempDir(), "up", "loads"), &audit.Memory{}
			ctx := audit.WithActor(t.Context(), audit.Actor{UserID: "anna"})
			open := func(query string) (*blobstore.Store, error) {
				return blobstore.Open(ctx, scheme+"://"+filepath.ToSlash(dir)+query, trail, nil)
			}
			use := func(s *blobstore.Store, err error) *blobstore.Store {
				t.Helper()
				require.NoError(t, err)
				return s
			}
			refused := func(query string) {
				t.Helper()
				_, err := open(query)
				require.ErrorIs(t, err, blobstore.ErrNoBucket)
				require.NotErrorIs(t, err, fs.ErrNotExist)
				require.ErrorContains(t, err, dir)
				require.ErrorContains(t, err, `"a"`)
				require.ErrorContains(t, err, filepath.Join(dir, ".blobtrail"))
			}
			s := use(open("?create=true")) // a new deployment
			require.NoError(t, s.Close(context.Background()))
			s = use(open("?create=true")) // which was not used before its second start
			_, err := s.Upload(ctx, "a", strings.NewReader("x"), nil)
			require.NoError(t, err)
			require.NoError(t, s.Close(context.Background()))
			s = use(open("?create=true"))
			require.NoError(t, s.Delete(ctx, "a", nil))
			require.NoError(t, s.Close(context.Background()))
			s = use(open("")) // empty, but used
			require.NoError(t, s.Close(context.Background()))

			away := dir + ".away"
			require.NoError(t, os.Rename(dir, away))
			refused("?create=true")
			_, err = os.Lstat(dir)
			require.ErrorIs(t, err, fs.ErrNotExist, "it was not left behind")
			require.NoError(t, os.Mkdir(dir, 0o700)) // as the folder to mount a volume at
			refused("")
			refused("?create=true")
			_, err = os.Lstat(dir)
			require.NoError(t, err)
			for _, name := range []string{".gitkeep", "lost+found"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
			}
			refused("")

			other, err := blobstore.Open(ctx, scheme+"://"+filepath.ToSlash(t.TempDir()), trail, nil)
			require.NoError(t, err, "another folder with the same trail")
			require.NoError(t, other.Close(context.Background()))
			s, err = blobstore.Open(ctx, scheme+"://"+filepath.ToSlash(dir), audit.Discard, nil)
			require.NoError(t, err, "a trail that can't be asked")
			require.NoError(t, s.Close(context.Background()))

			require.NoError(t, os.Mkdir(filepath.Join(dir, ".blobtrail"), 0o700)) // confirmed
			s = use(open(""))
			require.NoError(t, s.Close(context.Background()))
			require.NoError(t, os.RemoveAll(dir))
			require.NoError(t, os.Rename(away, dir)) // mounted
			s = use(open(""))
			require.NoError(t, s.Close(context.Background()))
		})
	}
}

// A reader that never returns anything must not keep a processor busy.
func TestUploadEndsWithoutProgress(t *testing.T) {
	for _, scheme := range []string{"local", "file"} {
		for _, head := range []int{0, 1000, 3 << 10, 400 << 10} {
			t.Run(fmt.Sprint(scheme, head), func(t *testing.T) {
				p := openPlace(t, scheme, t.TempDir())
				reads := 0
				r := io.MultiReader(bytes.NewReader(make([]byte, head)), readFunc(func() error {
					if reads++; reads > 1000 {
						return errors.New("read too often")
					}
					return nil
				}))
				_, err := p.Upload(p.ctx, "a", r, nil)
				require.ErrorIs(t, err, io.ErrNoProgress)
				require.Zero(t, p.trail.OpenIntents())
				_, err = p.Stat(p.ctx, "a")
				require.ErrorIs(t, err, fs.ErrNotExist)
			})
		}
	}
}
