// Package prose counts habits of phrasing that readers stumble over, in the Go
// comments and the Markdown of the project, and compares the tokens of Go files.
// CONTRIBUTING.md explains how the project is written.
package prose

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Habit is a phrase to avoid, as a regular expression, and its name.
type Habit struct {
	Name    string
	Max     float64 // findings per 1,000 lines
	pattern *regexp.Regexp
}

func habit(name string, limit float64, pattern string) Habit {
	return Habit{name, limit, regexp.MustCompile(`(?i)` + pattern)}
}

// Habits returns the phrases to avoid.
func Habits() []Habit {
	return []Habit{
		habit("'what is …' as a noun phrase", 3, `\bwhat (is|was|are|were|it|the|they|has|had|a|an|he|we|did|does|came|comes|follows|stands|breaks|can|must|that|needs|fails|differs|others|nobody|somebody|killed)\b`),
		habit("'of which', 'of whom', 'of that'", 15, `\b(of|by|in|for|from|with|to|at|upon) (which|whom)\b|\bof that\b`),
		habit("'whoever' for 'anyone who'", 15, `(^|[.;:,(] ?|\bfor |\bof |\bto )\b(who|whoever|whom) (writes|has|reads|opens|asks|may|can|calls|holds|counts|knows|makes|changes|implement|is to|sends|wants|parses|opened|owns|comes|looks|needs|serves|signs|still|it was)\b`),
		habit("'is none', 'is no …'", 15, `\b(is|are) (none|no ([a-km-z]\w*|l[a-np-z]\w*|lo[a-mo-z]\w*))\b`), // but 'is no longer'
		habit("'behind' for 'past'", 15, `\bbehind (the|its|an|it)\b`),
		habit("'allows to'", 15, `\ballows? to\b`),
		habit("'meanwhile' for 'concurrently'", 15, `\bmeanwhile\b`),
		habit("'for how long', 'is how often'", 15, `\bfor how long\b|\bis how (long|often)\b`),
		habit("'tell' for 'report', 'detect'", 1, `\btells?\b|\btold\b`),
		habit("'of its own', 'by itself'", 1, `\bof (its|their|one's|the host's|his) own\b|\bby itself\b`),
		habit("'but for' for 'except'", 15, `\bbut for\b`),
		habit("'beside' for 'besides'", 0, `\bbeside\b`),
		habit("'nobody', 'somebody'", 2, `\b(no|some)body\b`),
		habit("'stands' for 'exists'", 0, `\bstands?\b`),
		habit("'over' for 'finished'", 15, `\b(is|are|was|be|long) over\b`),
		habit("'goes on' for 'continues'", 15, `\bgo(es)? on\b`),
	}
}

// Finding is a phrase at a line of a file.
type Finding struct {
	Path  string
	Line  int
	Habit string
	Text  string
}

// Count is the result for Go comments or for Markdown.
type Count struct {
	Lines    int
	Findings []Finding
	Words    int // of Go comments
	Relative int // words such as "that" and "which" among them
}

// Per returns the number of findings of a habit per 1,000 lines; "" counts all.
func (c *Count) Per(habit string) float64 {
	n := 0
	for i := range c.Findings {
		if habit == "" || c.Findings[i].Habit == habit {
			n++
		}
	}
	return 1000 * float64(n) / float64(max(c.Lines, 1))
}

var (
	comment  = regexp.MustCompile(`(?:^|\s)//\s?(.*)`)
	relative = regexp.MustCompile(`(?i)^(that|which|what|who|whom|whose|where)$`)
	word     = regexp.MustCompile(`[A-Za-z']+`)
)

// skipped are the names of folders without prose of the project.
var skipped = []string{".git", "testdata", "node_modules"}

// Check counts the habits below a folder. It leaves out tests, testdata and
// node_modules.
func Check(root string) (code, markdown Count, err error) {
	habits := Habits()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skipped, d.Name()):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			return markdown.file(root, path, habits)
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			return code.file(root, path, habits)
		}
		return nil
	})
	return code, markdown, err
}

func (c *Count) file(root, path string, habits []Habit) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, len(b)+1)
	for n := 1; lines.Scan(); n++ {
		text, ok := prose(path, lines.Text())
		if !ok {
			continue
		}
		c.Lines++
		for _, w := range word.FindAllString(text, -1) {
			c.Words++
			if relative.MatchString(w) {
				c.Relative++
			}
		}
		for _, h := range habits {
			if h.pattern.MatchString(text) {
				c.Findings = append(c.Findings, Finding{filepath.ToSlash(name), n, h.Name, text})
			}
		}
	}
	return lines.Err()
}

// prose returns the prose in a line: the comment of a Go file, or the line itself.
func prose(path, line string) (string, bool) {
	if strings.HasSuffix(path, ".md") {
		line = strings.TrimSpace(line)
		return line, line != ""
	}
	m := comment.FindStringSubmatch(line)
	if m == nil || strings.HasPrefix(m[1], "go:") || strings.HasPrefix(m[1], "nolint") {
		return "", false
	}
	return m[1], true
}
