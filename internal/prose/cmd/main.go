// Command cmd prints how often the project uses phrases that readers stumble over.
//
//	go run ./internal/prose/cmd [-examples N] [DIR]
//
// With -since REVISION it compares the Go files of the work tree with those of a
// Git revision instead: it names the files in which more than comments changed.
// With -draw N it prints N comments at random, and as many error texts as -errors
// says; the same -seed draws the same ones.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/blobtrail/blobtrail/internal/prose"
)

func main() {
	examples := flag.Int("examples", 0, "print as many findings of each habit")
	since := flag.String("since", "", "compare the tokens of Go files with those of this Git revision")
	draw := flag.Int("draw", 0, "print as many comments, drawn at random")
	texts := flag.Int("errors", 0, "print as many error texts with -draw")
	seed := flag.Uint64("seed", 1, "the seed of -draw")
	flag.Parse()
	dir := "."
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	var err error
	switch {
	case *since != "":
		err = compare(context.Background(), os.Stdout, *since)
	case *draw > 0:
		err = sample(os.Stdout, dir, *draw, *texts, *seed)
	default:
		err = count(os.Stdout, dir, *examples)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func count(w io.Writer, dir string, examples int) error {
	code, markdown, err := prose.Check(dir)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name  string
		count *prose.Count
	}{{"Go comments", &code}, {"Markdown", &markdown}} {
		fmt.Fprintf(w, "%s: %d lines, %.1f findings per 1,000, %.1f relative words per 1,000 words\n", c.name, c.count.Lines, c.count.Per(""),
			1000*float64(c.count.Relative)/float64(max(c.count.Words, 1)))
		for _, h := range prose.Habits() {
			fmt.Fprintf(w, "%7.1f  %s\n", c.count.Per(h.Name), h.Name)
			left := examples
			for _, f := range c.count.Findings {
				if f.Habit == h.Name && left > 0 {
					fmt.Fprintf(w, "           %s:%d %s\n", f.Path, f.Line, f.Text)
					left--
				}
			}
		}
	}
	return nil
}

// sample prints texts that were drawn at random.
func sample(w io.Writer, dir string, comments, errors int, seed uint64) error {
	c, e, err := prose.Draw(dir, comments, errors, seed)
	if err != nil {
		return err
	}
	for i, t := range slices.Concat(c, e) {
		fmt.Fprintf(w, "%d. %s:%d\n\t%s\n", i+1, t.Path, t.Line, strings.ReplaceAll(t.Text, "\n", "\n\t"))
	}
	return nil
}

// compare names the files whose tokens differ from those of a revision.
func compare(ctx context.Context, w io.Writer, revision string) error {
	list, err := exec.CommandContext(ctx, "git", "ls-tree", "-r", "--name-only", revision).Output()
	if err != nil {
		return fmt.Errorf("listing the files of %s: %w", revision, err)
	}
	same, texts, other := 0, 0, 0
	for path := range strings.Lines(string(list)) {
		path = strings.TrimSpace(path)
		if !strings.HasSuffix(path, ".go") {
			continue
		}
		after, err := os.ReadFile(path)
		if err != nil {
			other++
			fmt.Fprintf(w, "gone     %s\n", path)
			continue
		}
		before, err := exec.CommandContext(ctx, "git", "show", revision+":"+path).Output()
		if err != nil {
			return fmt.Errorf("reading %s of %s: %w", path, revision, err)
		}
		if bytes.Equal(before, after) {
			same++
			continue
		}
		equal := func(literals bool) bool {
			a, errA := prose.Tokens(before, literals)
			b, errB := prose.Tokens(after, literals)
			return errA == nil && errB == nil && slices.Equal(a, b)
		}
		switch {
		case equal(true):
			same++
		case equal(false):
			texts++
			fmt.Fprintf(w, "texts    %s\n", path)
		default:
			other++
			fmt.Fprintf(w, "tokens   %s\n", path)
		}
	}
	fmt.Fprintf(w, "%d files: only comments changed, if anything; %d: string literals too; %d: more\n", same, texts, other)
	return nil
}
