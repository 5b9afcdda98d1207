package storetest

// This file implements the cases of keys. Invalid keys are refused on every
// backend, and unusual valid keys work on every backend.

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/blobtrail/blobtrail/blobstore"
)

var refusedKeys = []struct{ name, key string }{
	{"that is empty", ""},
	{"that begins with a slash", "/a"},
	{"that ends in a slash", "a/"},
	{"with two slashes in a row", "a//b"},
	{"that is a dot", "."},
	{"that leads to a parent", "../a"},
	{"that leads to a parent further on", "a/../../b"},
	{"with a dot segment", "a/./b"},
	{"with a backslash", `a\b`},
	{"with a NUL", "a\x00b"},
	{"with a line break", "a\nb"},
	{"with DEL", "a\x7fb"},
	{"with a C1 control character", "a\u0085b"},
	{"that is not UTF-8", "a\xffb"},
	{"with a bidirectional override", "a\u202egnp.exe"},
	{"with a bidirectional mark", "a\u200fb"},
	{"with an invisible character", "a\u200bb"},
	{"with a line separator", "a\u2028b"},
	{"with a non-character", "a\ufffeb"},
	{"that is not in NFC", "Ma\u0308rz"},
	{"with a segment that ends in a dot", "a./b"},
	{"with a segment that begins with a space", "a/ b"},
	{"with a segment that ends in a space", "a /b"},
	{"that ends in .attrs", "a.attrs"},
	{"that ends in .ATTRS", "a.ATTRS"},
	{"that looks like an escape", "a__0x2f__b"},
	{"in the private folder of the drivers", ".blobtrail/x"},
	{"that looks like a temporary file", "a.18f0a1b2c3d4e5f6.tmp"},
	{"with a segment of 201 bytes", strings.Repeat("x", 201)},
	{"of 1,025 bytes", strings.Repeat(strings.Repeat("x", 127)+"/", 8) + "y"},
}

func awkwardKeys(prefix string) []struct{ name, key string } {
	// long is a key of exactly 1,024 bytes, including the prefix.
	long := strings.Repeat(strings.Repeat("x", 127)+"/", 8)
	long = long[:1024-len(prefix)]
	if strings.HasSuffix(long, "/") {
		long = long[:len(long)-1] + "y"
	}
	return []struct{ name, key string }{
		{"with spaces", "a b/c  d"},
		{"with umlauts", "Rechnung März.pdf"},
		{"with other scripts", "日本語/Ελληνικά/עברית"},
		{"with an emoji", "\U0001F4C4.txt"},
		{"with a percent sign", "100%"},
		{"that looks escaped", "a%2Fb%00%zz"},
		{"with a plus", "a+b"},
		{"with a hash", "a#b"},
		{"with a question mark", "a?b=c&d"},
		{"with an ampersand", "a&b;c"},
		{"with quotes", `a"b'c` + "`"},
		{"with brackets", "a[1]{2}(3)<4>"},
		{"with a colon and an at sign", "c:@d"},
		{"with a pipe, a star and a caret", "a|b*c^d~e"},
		{"with a dollar and an equals sign", "$a=b,c!"},
		{"that begins with a dot", ".hidden/.file"},
		{"that begins with two dots", "..a"},
		{"with dots within", "a..b/c...d"},
		{"that begins with a dash", "-rf"},
		{"that begins with a tilde", "~root/x"},
		{"that ends in .tmp", "a.tmp"},
		{"of one character", "x"},
		{"with a segment of 200 bytes", strings.Repeat("x", 200)},
		{"with a segment of 200 bytes of umlauts", strings.Repeat("ä", 100)},
		{"of 1,024 bytes", long},
	}
}

func keyCases() []testCase {
	var cases []testCase
	for _, k := range refusedKeys {
		cases = append(cases, testCase{"a key " + k.name + " MUST be refused by every method", func(e *env) {
			e.put(e.key("a"), nil, nil)
			added := e.since(func() {
				_, err := e.store.Upload(e.ctx, k.key, strings.NewReader("x"), nil)
				e.isError(err, "upload", k.key, blobstore.ErrInvalidKey)
				assert.Greater(e, len(err.Error()), len("blobstore: upload : invalid key: "), "the error gives the reason")
				_, err = e.store.Download(e.ctx, k.key, nil)
				e.isError(err, "download", k.key, blobstore.ErrInvalidKey)
				_, err = e.store.Stat(e.ctx, k.key)
				e.isError(err, "stat", k.key, blobstore.ErrInvalidKey)
				_, err = e.store.Link(e.ctx, k.key, nil)
				e.isError(err, "link", k.key, blobstore.ErrInvalidKey)
				e.isError(e.store.Delete(e.ctx, k.key, nil), "delete", k.key, blobstore.ErrInvalidKey)
				e.isError(e.store.Copy(e.ctx, k.key, e.key("a"), nil), "copy", k.key, blobstore.ErrInvalidKey)
				e.isError(e.store.Copy(e.ctx, e.key("b"), k.key, nil), "copy", e.key("b"), blobstore.ErrInvalidKey)
				e.isError(e.store.Move(e.ctx, k.key, e.key("a"), nil), "move", k.key, blobstore.ErrInvalidKey)
				require.ErrorIs(e, blobstore.CheckKey(k.key), blobstore.ErrInvalidKey)
			})
			assert.Empty(e, added, "an invalid key is not recorded")
			e.has("a")
		}})
	}
	for i, k := range awkwardKeys(strings.Repeat("x", len("st-0123456789/"))) {
		cases = append(cases, testCase{"a key " + k.name + " MUST work everywhere", func(e *env) {
			name := awkwardKeys(e.prefix)[i].key
			key := e.key(name)
			data := []byte("content of " + k.name)
			e.put(key, data, nil)
			assert.Equal(e, data, e.get(key))
			assert.Equal(e, key, e.stat(key).Key)
			e.has(name)
			_, err := e.store.Link(e.ctx, key, nil)
			require.NoError(e, err)
			if e.put(e.key("other"), []byte("x"), nil); e.store.Copy(e.ctx, key, e.key("other"), nil) == nil {
				e.Errorf("a copy replaced it")
			}
			require.NoError(e, e.store.Move(e.ctx, e.key("moved"), key, nil))
			require.NoError(e, e.store.Copy(e.ctx, key, e.key("moved"), nil))
			assert.Equal(e, data, e.get(key))
			require.NoError(e, e.store.Delete(e.ctx, key, nil))
			e.has("moved", "other")
			for _, entry := range e.entries() {
				assert.Contains(e, []string{key, e.key("other"), e.key("moved")}, entry.Key, "the key in the trail is unchanged")
			}
		}})
	}
	return append(cases, []testCase{
		{"keys that differ only in case MUST be different objects", func(e *env) {
			e.put(e.key("Case"), []byte("upper"), nil)
			e.put(e.key("case"), []byte("lower"), nil)
			assert.Equal(e, "upper", string(e.get(e.key("Case"))))
			assert.Equal(e, "lower", string(e.get(e.key("case"))))
			e.has("Case", "case")
		}},
		{"keys that NewKey returns for hostile names MUST work", func(e *env) {
			for i, name := range []string{
				"", ".", "..", "../../etc/passwd", `C:\temp\a.pdf`, "a\x00b", strings.Repeat("ä", 400) + ".pdf", "a\u202egnp.exe", "x.attrs",
				"CON", "a.18f0a1b2c3d4e5f6.tmp", "\xff\xfe", " . ", "Ma\u0308rz.pdf", "a__0x2f__b", "...", ".attrs",
			} {
				key := blobstore.NewKey(e.key("new"), name)
				require.NoError(e, blobstore.CheckKey(key), "%q", name)
				assert.True(e, strings.HasPrefix(key, e.key("new/")))
				e.put(key, []byte(fmt.Sprint(i)), &blobstore.UploadOptions{Filename: name})
				assert.Equal(e, fmt.Sprint(i), string(e.get(key)))
			}
		}},
		{"an object below another MUST either work or be refused without harm", func(e *env) {
			data := content(100)
			e.put(e.key("a"), data, rich(false))
			was := e.stat(e.key("a"))
			_, err := e.store.Upload(e.ctx, e.key("a/b"), strings.NewReader("below"), nil)
			if err == nil {
				assert.Equal(e, "below", string(e.get(e.key("a/b"))))
				e.has("a", "a/b")
			} else {
				e.isError(err, "upload", e.key("a/b"), fs.ErrExist)
				e.has("a")
			}
			e.same(was, data)
			e.settled()
		}},
		{"an object above another MUST either work or be refused without harm", func(e *env) {
			data := content(100)
			e.put(e.key("a/b"), data, rich(false))
			was := e.stat(e.key("a/b"))
			for _, overwrite := range []bool{false, true} {
				_, err := e.store.Upload(e.ctx, e.key("a"), strings.NewReader("above"), &blobstore.UploadOptions{Overwrite: overwrite})
				if err == nil {
					assert.Equal(e, "above", string(e.get(e.key("a"))))
					e.has("a", "a/b")
					require.NoError(e, e.store.Delete(e.ctx, e.key("a"), nil))
				} else {
					e.isError(err, "upload", e.key("a"), fs.ErrExist)
					e.has("a/b")
				}
			}
			e.same(was, data)
			e.settled()
		}},
		{"an empty folder MUST NOT block an object", func(e *env) {
			e.put(e.key("a/b/c"), nil, nil)
			require.NoError(e, e.store.Delete(e.ctx, e.key("a/b/c"), nil))
			_, err := e.store.Upload(context.WithoutCancel(e.ctx), e.key("a"), strings.NewReader("x"), nil)
			if err != nil {
				e.isError(err, "upload", e.key("a"), fs.ErrExist)
				e.has()
			} else {
				e.has("a")
			}
		}},
	}...)
}
