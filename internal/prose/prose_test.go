package prose

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	ceiling         = 15.0 // findings per 1,000 lines
	relativeCeiling = 25.0 // relative words per 1,000 words of Go comments
)

// The prose of the project has few phrases that readers stumble over.
func TestProse(t *testing.T) {
	code, markdown, err := Check("../..")
	require.NoError(t, err)
	require.Greater(t, code.Lines, 5000, "the comments are there")
	require.Greater(t, markdown.Lines, 1000, "the pages are there")
	relative := 1000 * float64(code.Relative) / float64(code.Words)
	t.Logf("%d lines of Go comments: %.1f findings per 1,000, %.1f relative words per 1,000 words", code.Lines, code.Per(""), relative)
	t.Logf("%d lines of Markdown: %.1f findings per 1,000", markdown.Lines, markdown.Per(""))
	assert.LessOrEqual(t, relative, relativeCeiling)
	for _, c := range []Count{code, markdown} {
		assert.LessOrEqual(t, c.Per(""), ceiling)
		for _, h := range Habits() {
			if c.Per(h.Name) > h.Max {
				t.Errorf("%.1f findings per 1,000 lines of %s: want at most %.0f", c.Per(h.Name), h.Name, h.Max)
				for _, f := range c.Findings {
					if f.Habit == h.Name {
						t.Logf("%s:%d %s", f.Path, f.Line, f.Text)
					}
				}
			}
		}
	}
}

// Each habit has a phrase that it finds. The counter reads comments and Markdown,
// but no code.
func TestHabits(t *testing.T) {
	found := map[string]string{
		"'what is …' as a noun phrase": "it returns what is there", "'of which', 'of whom', 'of that'": "two, of which one", "'whoever' for 'anyone who'": "for whoever reads it",
		"'is none', 'is no …'": "there is no key", "'behind' for 'past'": "behind the end", "'allows to'": "this allows to write", "'meanwhile' for 'concurrently'": "replaced meanwhile",
		"'for how long', 'is how often'": "the limit is how often", "'tell' for 'report', 'detect'": "it tells the size", "'of its own', 'by itself'": "a log of its own",
		"'but for' for 'except'": "all but for one", "'beside' for 'besides'": "beside the file", "'nobody', 'somebody'": "nobody reads it", "'stands' for 'exists'": "the row stands",
		"'over' for 'finished'": "the time is over", "'goes on' for 'continues'": "it goes on",
	}
	for _, h := range Habits() {
		require.NotEmpty(t, found[h.Name], h.Name)
		assert.Regexp(t, h.pattern, found[h.Name])
		assert.NotRegexp(t, h.pattern, "the object is no longer needed")
	}
	for line, want := range map[string]string{
		"// A comment.": "A comment.", "x := 1 // one": "one", `s := "http://what"`: "", "//go:build linux": "", "//nolint:x // reason": "",
	} {
		text, ok := prose("a.go", line)
		assert.Equal(t, want, text, line)
		assert.Equal(t, want != "", ok, line)
	}
}

func TestTokens(t *testing.T) {
	same := func(a, b string, literals bool) bool {
		x, err := Tokens([]byte("package p\n"+a), literals)
		require.NoError(t, err)
		y, err := Tokens([]byte("package p\n"+b), literals)
		require.NoError(t, err)
		return assert.ObjectsAreEqual(x, y)
	}
	assert.True(t, same("// one\nvar a = `x`\n", "/* two */\n\nvar a = `x` // three\n", true))
	assert.False(t, same("var a = `x`\n", "var a = `y`\n", true))
	assert.True(t, same("var a = `x`\n", "var a = `y`\n", false))
	assert.False(t, same("var a = 1\n", "var b = 1\n", false))
	assert.False(t, same("var a = 1\n", "var a = 2\n", false), "numbers are no texts")
}

func TestDraw(t *testing.T) {
	c, e, err := Draw("../..", 5, 3, 7)
	require.NoError(t, err)
	require.Len(t, c, 5)
	require.Len(t, e, 3)
	again, _, err := Draw("../..", 5, 3, 7)
	require.NoError(t, err)
	assert.Equal(t, c, again)
	other, _, err := Draw("../..", 5, 3, 8)
	require.NoError(t, err)
	assert.NotEqual(t, c, other)
}
