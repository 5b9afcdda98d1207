package keyrule_test

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/blobtrail/blobtrail/internal/keyrule"
)

func TestCheckRefuses(t *testing.T) {
	for name, c := range map[string]struct{ key, why string }{
		"empty":              {"", "empty"},
		"too long":           {strings.Repeat("a/", 512) + "a", "1025 bytes: want at most 1024"},
		"not UTF-8":          {"a\xc3", "UTF-8"},
		"leading slash":      {"/a", "begins with a slash"},
		"trailing slash":     {"a/", "empty segment"},
		"two slashes":        {"a//b", "empty segment"},
		"dot":                {".", `segment "."`},
		"dot dot":            {"a/..", `segment ".."`},
		"backslash":          {`a\..\b`, "backslash"},
		"NUL":                {"\x00", "control"},
		"tab":                {"a\tb", "control"},
		"C1":                 {"a\u009fb", "control"},
		"override":           {"a\u202eb", "direction"},
		"isolate":            {"a\u2066b", "direction"},
		"paragraph":          {"a\u2029b", "line separator"},
		"soft hyphen":        {"a\u00adb", "invisible"},
		"byte order mark":    {"\ufeffa", "invisible"},
		"non-character":      {"a\U0010ffff", "not a character"},
		"replacement":        {"a\ufffd", "not a character"},
		"NFD":                {"e\u0301", "NFC"},
		"escape":             {"a__0x41__", "__0x"},
		"long segment":       {strings.Repeat("a", 201), "201 bytes: want at most 200"},
		"dot at the end":     {"a.", "ends in a dot"},
		"space at the start": {" a", "space"},
		"space at the end":   {"a/b ", "space"},
		"attributes":         {"a/b.Attrs/c", ".attrs"},
		"only attributes":    {".attrs", ".attrs"},
		"temporary":          {"a/b.0123456789abcdef.tmp", "temporary"},
		"private":            {".blobtrail/a", "reserved"},
		"private, upper":     {".BlobTrail", "reserved"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, keyrule.Check(c.key), c.why)
		})
	}
}

func TestCheckAccepts(t *testing.T) {
	for _, key := range []string{
		"a", "a/b", "..a", "a..b", ".a", "a b", "-", "~", "%2e%2e", "a:b", "é", "日本", "\U0001F469\u200d\U0001F4BB",
		"attrs", "a.attrsx", "x/.blobtrail/y", ".blobtrails", "a.tmp", "a.0123456789abcde.tmp", "a.0123456789ABCDEF.tmp", ".0123456789abcdef.tmp/x"[23:],
		strings.Repeat("a", 200), strings.Repeat("a/", 511) + "aa",
	} {
		if key == "" {
			continue
		}
		assert.NoError(t, keyrule.Check(key), "%q", key)
	}
}

func TestSafeName(t *testing.T) {
	for name, want := range map[string]string{
		"Rechnung März.pdf":               "Rechnung März.pdf",
		"":                                "file",
		".":                               "file",
		"..":                              "file",
		"///":                             "file",
		"../../etc/passwd":                "passwd",
		`C:\Users\x\a.txt`:                "a.txt",
		"a:b?c#d%e\"f<g>h|i*j":            "a_b_c_d_e_f_g_h_i_j",
		"a\x00b\nc":                       "a_b_c",
		"a\xffb":                          "a_b",
		"Ma\u0308rz":                      "März",
		"  spaced  . .":                   "spaced",
		"a\u00a0b":                        "a b",
		"gnp\u202eexe":                    "gnp_exe",
		".hidden":                         ".hidden",
		"x.attrs":                         "_x.attrs_",
		"a.0123456789abcdef.tmp":          "_a.0123456789abcdef.tmp_",
		"a__0x2f__b":                      "a__x2f__b",
		"a____0x0x":                       "a____x0x",
		".blobtrail":                      "file",
		strings.Repeat("ä", 200):          strings.Repeat("ä", 80),
		strings.Repeat("x", 300) + ".pdf": strings.Repeat("x", 156) + ".pdf",
	} {
		assert.Equal(t, want, keyrule.SafeName(name), "%q", name)
	}
}

func seeds(f *testing.F) {
	for _, s := range []string{
		"", ".", "..", "a/b", "/a", "a//b", "../a", `a\b`, "a\x00", "\xff", "e\u0301", "\u202e", "x.attrs", ".blobtrail", "a__0x2f__", "____0x0x__0x", "_0x", "_0x.attrs", "0x.attrs",
		"a.0123456789abcdef.tmp", strings.Repeat("a", 201), strings.Repeat("ä/", 400), " a ", "a . ", ".attrs.", "\u0344", "ﬀ", "\u2126", "__0\u0345x",
		strings.Repeat("x", 159) + ".", strings.Repeat("x", 150) + ".attrs", strings.Repeat("x", 158) + " .p",
	} {
		f.Add(s)
	}
}

func FuzzCheck(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, key string) {
		err := keyrule.Check(key)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.NotEmpty(t, key)
		require.LessOrEqual(t, len(key), keyrule.MaxKey)
		require.True(t, utf8.ValidString(key))
		require.True(t, filepath.IsLocal(filepath.FromSlash(key)))
		require.Equal(t, key, filepath.ToSlash(filepath.Clean(filepath.FromSlash(key))), "no other spelling of it")
		require.True(t, norm.NFC.IsNormalString(key))
		require.NotContains(t, key, `\`)
		for _, seg := range strings.Split(key, "/") {
			require.LessOrEqual(t, len(seg), keyrule.MaxSegment)
			require.NoError(t, keyrule.Check("x/"+seg), "a segment of a key is a key below a folder")
			require.False(t, strings.HasSuffix(strings.ToLower(seg), ".attrs"))
			require.False(t, keyrule.IsTemp(seg))
		}
	})
}

func FuzzSafeName(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, name string) {
		safe := keyrule.SafeName(name)
		require.NoError(t, keyrule.Check(safe), "%q", safe)
		require.LessOrEqual(t, len(safe), keyrule.MaxName)
		require.NotContains(t, safe, "/")
		require.Equal(t, safe, keyrule.SafeName(safe), "it is its own safe name")
		uuid := "01234567-89ab-cdef-0123-456789abcdef_"
		require.NoError(t, keyrule.Check("p/"+uuid+safe), "with what NewKey puts before it")
	})
}
