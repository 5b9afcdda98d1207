// This file contains shared code of the tests: flags for longer runs, helpers,
// and a second process.

package localblob

import (
	"context"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
)

var (
	raceCount     = flag.Int("localblob.races", 200, "how many two-way races of create-only writers to run")
	overwriteTime = flag.Duration("localblob.overwrite", 2*time.Second, "how long to read during overwrites")
	fileblobCount = flag.Int("localblob.fileblob", 500, "how many objects fileblob writes for us to read")
)

// childEnv makes the test binary act as a second process. Its value selects the
// role.
const childEnv = "LOCALBLOB_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "race":
		os.Exit(raceChild())
	case "hold":
		os.Exit(holdChild())
	}
	os.Exit(m.Run())
}

func openBlob(dir string, opts *Options) (*blob.Bucket, error) {
	b, err := Open(dir, opts)
	if err != nil {
		return nil, err
	}
	return b.Bucket, nil
}

// of returns the bucket that openBlob used for bkt.
func of(bkt *blob.Bucket) *Bucket {
	var b *bucket
	bkt.As(&b)
	return &Bucket{Bucket: bkt, b: b}
}

func openTest(t testing.TB, dir string, opts *Options) (*blob.Bucket, *bucket) {
	t.Helper()
	bkt, err := openBlob(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { bkt.Close() })
	var b *bucket
	require.True(t, bkt.As(&b))
	return bkt, b
}

// put stores an object whose content type identifies its content, so that a mix
// of two versions is detected.
func put(ctx context.Context, bkt *blob.Bucket, key, version string, create bool) error {
	return bkt.Upload(ctx, key, strings.NewReader(body(version)), &blob.WriterOptions{
		ContentType: "text/" + version,
		Metadata:    map[string]string{"version": version},
		IfNotExist:  create,
	})
}

func body(version string) string { return strings.Repeat(version+"\n", 100+len(version)) }

// version reads an object and checks that bytes, type and metadata belong to
// the same version. It returns the version.
func version(t testing.TB, bkt *blob.Bucket, key string) string {
	t.Helper()
	ctx := context.Background()
	r, err := bkt.NewReader(ctx, key, nil)
	require.NoError(t, err)
	defer r.Close()
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	v := strings.TrimPrefix(r.ContentType(), "text/")
	require.Equal(t, body(v), string(content), "bytes and content type of one version")
	return v
}

// same checks that the attributes also belong to the version.
func same(t testing.TB, bkt *blob.Bucket, key, v string) {
	t.Helper()
	a, err := bkt.Attributes(context.Background(), key)
	require.NoError(t, err)
	require.Equal(t, "text/"+v, a.ContentType)
	require.Equal(t, map[string]string{"version": v}, a.Metadata)
	require.Equal(t, int64(len(body(v))), a.Size)
}

// files lists all files below dir except the lock files, which remain.
func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		if err == nil && !d.IsDir() && !strings.HasPrefix(rel, lockDir) {
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	}))
	sort.Strings(names)
	return names
}

func keys(t testing.TB, bkt *blob.Bucket, opts *blob.ListOptions) (found []string) {
	t.Helper()
	it := bkt.List(opts)
	for {
		o, err := it.Next(context.Background())
		if err == io.EOF {
			return found
		}
		require.NoError(t, err)
		found = append(found, o.Key)
	}
}
