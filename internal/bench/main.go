// Command bench compares the library with the simplest equivalent code and with
// equivalent libraries. Run it from the root of the repository:
//
//	go run -C internal/bench . -o figures.md
//
// It writes a Markdown table. One process runs both sides of each row in turn;
// see harness.go. The table shows missed targets, but the command does not
// fail. Times vary; only ratios are comparable between machines.
//
// With -growth FOLDER, bench measures how cost grows with the number of
// callers, sizes, objects, entries and processes, and draws curves.
//
// With -cpuprofile, only our side of the first selected row runs, so that the
// profile shows only our code.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// rows are the lines of the table, in order.
var rows = slices.Concat(uploads, links, cloudLinks, cloudPuts, listings, downloads, memory, trail, sizes)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if dsn := os.Getenv(envWorker); dsn != "" {
		if err := worker(ctx, dsn, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			stop()
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, progress io.Writer) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(progress)
	var (
		only    = flags.String("run", "", "run the rows whose first or third column matches this regular `expression`")
		rounds  = flags.Int("rounds", 60, "how often both sides of a row run, at most: long operations run less often")
		slice   = flags.Duration("time", 50*time.Millisecond, "how long each side runs in a round, about")
		folder  = flags.String("dir", os.TempDir(), "the `folder` to work in: its file system is what local files are measured on")
		output  = flags.String("o", "", "the `file` to write the table to (default: standard output)")
		list    = flags.Bool("list", false, "list the rows and run none")
		growing = flags.String("growth", "", "measure how cost grows instead, and write the curves and their figures to this `folder`")
		most    = flags.Int("most", 1_000_000, "how many objects and entries the curves go up to")
		profile = flags.String("cpuprofile", "", "write a CPU profile of our side of the first selected row to this `file`; there is no table then")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unknown argument %q: rows are selected with -run", flags.Arg(0))
	case *rounds < 1:
		return errors.New("-rounds: at least one is needed")
	}
	selected := slices.Clone(rows)
	selected = slices.DeleteFunc(selected, func(r row) bool { return !match.MatchString(r.what) && !match.MatchString(r.peer) })
	if len(selected) == 0 {
		return fmt.Errorf("-run %s: no row matches", *only)
	}
	if *list {
		for _, r := range selected {
			fmt.Fprintf(stdout, "%s | %s | %s\n", r.what, r.peer, r.goal.text(r.unit))
		}
		return nil
	}
	out := stdout
	if *output != "" {
		f, err := os.Create(*output)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	work, err := os.MkdirTemp(*folder, "blobtrail-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if *growing != "" {
		return grow(ctx, work, *growing, &growth{most: *most, size: int64(*most) << 10, slice: 20 * *slice}, progress)
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		return profileOurs(&env{Context: ctx, folder: work}, selected[0], *rounds, *slice, f)
	}

	fmt.Fprintf(out, "%s, %s/%s, %d processors; up to %d rounds of %v a side.\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), *rounds, *slice)
	fmt.Fprint(out, tableHead)
	var failed []string
	for i, r := range selected {
		fmt.Fprintf(progress, "%d/%d %s against %s\n", i+1, len(selected), r.what, r.peer)
		res, err := r.run(&env{Context: ctx, folder: work}, *rounds, *slice)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errLeftOut) {
			fmt.Fprintf(progress, "  %v\n", err)
			continue
		}
		if err != nil {
			fmt.Fprintf(progress, "  failed: %v\n", err)
			failed = append(failed, r.what)
			continue
		}
		fmt.Fprint(out, res.line())
	}
	if len(failed) > 0 {
		return fmt.Errorf("these rows could not be run: %s", strings.Join(failed, "; "))
	}
	return nil
}

// profileOurs profiles our side of one row. A profile of several rows would be
// unreadable.
func profileOurs(e *env, r row, rounds int, slice time.Duration, w io.Writer) (err error) {
	defer func() { err = errors.Join(err, e.close()) }()
	ours, _, err := r.open(e)
	if err != nil {
		return err
	}
	n, err := r.repetitions(ours, slice)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(w); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	for range rounds {
		if _, err := ours(n); err != nil {
			return err
		}
	}
	return nil
}
