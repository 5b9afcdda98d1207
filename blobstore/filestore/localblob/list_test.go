// This file compares listings with a sorted list of all keys, for any tree,
// prefix, delimiter and page size, with and without parked walks.

package localblob

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// listAll pages through a listing. Without parking, each page has to find its
// position again.
func listAll(t testing.TB, b *bucket, prefix, delim string, size int, parking bool) (found []string) {
	t.Helper()
	var token []byte
	for {
		page, err := b.ListPaged(context.Background(), &driver.ListOptions{Prefix: prefix, Delimiter: delim, PageSize: size, PageToken: token})
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Objects), size)
		for _, o := range page.Objects {
			found = append(found, o.Key)
		}
		if token = page.NextPageToken; len(token) == 0 {
			return found
		}
		require.Len(t, page.Objects, size)
		if !parking {
			b.parked.walks = nil
		}
	}
}

// expected is the listing by its definition.
func expected(all []string, prefix, delim string) (want []string) {
	for _, k := range all {
		if !strings.HasPrefix(k, prefix) {
			continue
		}
		if delim != "" {
			if i := strings.Index(k[len(prefix):], delim); i >= 0 {
				k = k[:len(prefix)+i+len(delim)]
			}
		}
		want = append(want, k)
	}
	slices.Sort(want)
	return slices.Compact(want)
}

func TestListIsTheSortedKeys(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	parts := []string{"a", "b", "-", ".", "..", "/", "/", "/", "//", "../", "0", "_", "__0x2f__", "é", "a.b", "\x01", "~"}
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		dir := t.TempDir()
		_, b := openTest(t, dir, &Options{noSync: true})
		var all []string
		for range 60 {
			key := ""
			for range 1 + rnd.IntN(6) {
				key += parts[rnd.IntN(len(parts))]
			}
			name, err := fileName(key, true)
			if err != nil {
				continue
			}
			file := filepath.Join(dir, name)
			if os.MkdirAll(filepath.Dir(file), 0o700) != nil || os.WriteFile(file, nil, 0o600) != nil {
				continue // an object beside a folder of the same name
			}
			require.NoError(t, os.WriteFile(file+attrsExt, []byte("{}"), 0o600))
			all = append(all, key)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		prefixes := []string{"", "a", "a/", "a//", "/", "../", "..", "./", "-/", "none/", "a/../"}
		for range 10 {
			k := all[rnd.IntN(len(all))]
			prefixes = append(prefixes, strings.ToValidUTF8(k[:rnd.IntN(len(k)+1)], ""))
		}
		for _, prefix := range prefixes {
			for _, delim := range []string{"", "/", "a", "//", "-"} {
				want := expected(all, prefix, delim)
				for _, size := range []int{1, 3, 1000} {
					for _, parking := range []bool{true, false} {
						got := listAll(t, b, prefix, delim, size, parking)
						if !slices.Equal(want, got) {
							t.Fatalf("round %d, prefix %q, delimiter %q, page size %d, parking %v\nwant %q\ngot  %q", round, prefix, delim, size, parking, want, got)
						}
					}
				}
			}
		}
	}
}

// Names without a key, and folders without objects, are not listed.
func TestListLeavesOutWhatNoKeyOpens(t *testing.T) {
	dir := t.TempDir()
	bkt, _ := openTest(t, dir, nil)
	for _, name := range []string{"__0x41__", "ctrl\x01", "dots../x", "__0x2f__/x", "bad\xff", "tab\there/x", "orphan.attrs", "fine"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "empty/folder"), 0o700))
	require.NoError(t, put(context.Background(), bkt, "object", "v", false)) // makes the private folder
	assert.Equal(t, []string{"fine", "object"}, keys(t, bkt, nil))
	assert.Equal(t, []string{"fine", "object"}, keys(t, bkt, &blob.ListOptions{Delimiter: "/"}))
	assert.Empty(t, keys(t, bkt, &blob.ListOptions{Prefix: privateDir + "/"}))
}

func TestListWhileObjectsGo(t *testing.T) {
	ctx := context.Background()
	bkt, b := openTest(t, t.TempDir(), &Options{noSync: true})
	for i := range 10 {
		require.NoError(t, put(ctx, bkt, fmt.Sprintf("f%d/object", i), "v", false))
	}
	page, err := b.ListPaged(ctx, &driver.ListOptions{PageSize: 2})
	require.NoError(t, err)
	for i := 3; i < 9; i++ {
		require.NoError(t, bkt.Delete(ctx, fmt.Sprintf("f%d/object", i)))
	}
	rest, err := b.ListPaged(ctx, &driver.ListOptions{PageSize: 10, PageToken: page.NextPageToken})
	require.NoError(t, err)
	var got []string
	for _, o := range rest.Objects {
		got = append(got, o.Key)
	}
	assert.Subset(t, []string{"f2/object", "f9/object"}, got)
	assert.Contains(t, got, "f9/object")
}

func TestPageTokens(t *testing.T) {
	ctx := context.Background()
	bkt, b := openTest(t, t.TempDir(), &Options{noSync: true})
	for i := range 3 * maxParked {
		require.NoError(t, put(ctx, bkt, fmt.Sprintf("k%02d", i), "v", false))
	}
	_, err := b.ListPaged(ctx, &driver.ListOptions{PageToken: []byte("made up")})
	require.ErrorContains(t, err, "page token")
	assert.Equal(t, gcerrors.InvalidArgument, b.ErrorCode(err))

	list := func(token []byte, prefix string) *driver.ListPage {
		page, err := b.ListPaged(ctx, &driver.ListOptions{PageSize: 1, PageToken: token, Prefix: prefix})
		require.NoError(t, err)
		return page
	}
	first := list(nil, "")
	for range 2 {
		assert.Equal(t, "k01", list(first.NextPageToken, "").Objects[0].Key, "a token can be used again")
	}
	first = list(nil, "")
	assert.Equal(t, "k20", list(first.NextPageToken, "k2").Objects[0].Key, "the walk of another listing is not used")
	for range 2 * maxParked {
		list(nil, "")
	}
	assert.Len(t, b.parked.walks, maxParked, "unfinished listings are forgotten in the end")
	b.parked.mu.Lock()
	for i := range b.parked.walks {
		b.parked.walks[i].since = time.Now().Add(-2 * parkedFor)
	}
	b.parked.mu.Unlock()
	list(nil, "")
	assert.Len(t, b.parked.walks, 1, "and so are those whose time is over")
	for _, w := range b.parked.walks {
		for _, f := range w.walk.stack {
			assert.Nil(t, f.dir, "a parked walk holds no folder open")
		}
	}
}
