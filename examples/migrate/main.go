// Migrate copies the objects of one store to another, such as local files to
// S3, or one cloud to another. It can also import a folder of other programs
// into a store with a trail.
//
//	go run . [flags] SOURCE DESTINATION
//
// Both are URLs such as local:///var/lib/app/files,
// s3://bucket?region=eu-central-1, azblob://container or gs://bucket.
// Credentials come from the environment, as documented in the provider's
// package. The trail records every object (-trail).
//
// Migrate can be stopped or killed at any time. The same command continues
// after the last copied object. It skips objects that exist at the destination
// with the same SHA-256. It reports objects that differ, and replaces them with
// -overwrite. It also reports objects whose content does not match their
// digest, and does not copy them.
//
// Exit codes: 0 if every object is at its destination, 1 if some are missing,
// and 2 if the migration could not start.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/go-sql-driver/mysql" // registers mysql: trails
	_ "github.com/jackc/pgx/v5/stdlib" // registers postgres: trails
	"github.com/schollz/progressbar/v3"
	_ "modernc.org/sqlite" // registers sqlite: trails

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
	_ "github.com/blobtrail/blobtrail/blobstore/all"
	"github.com/blobtrail/blobtrail/blobstore/transfer"
)

const (
	exitDone       = 0
	exitIncomplete = 1
	exitFailed     = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the command-line settings.
type settings struct {
	transfer.Options
	source, destination, trail, to, actor, report string
	quiet                                         bool
}

func parse(args []string, errOut io.Writer) (*settings, error) {
	s := &settings{actor: "migrate"}
	if u, err := user.Current(); err == nil {
		s.actor = u.Username
	}
	flags := flag.NewFlagSet("migrate", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&s.trail, "trail", "sqlite:blobtrail.db", "the `database` of the trail, for sqlaudit.Open")
	flags.StringVar(&s.actor, "user", s.actor, "the `user` in the trail")
	flags.StringVar(&s.Prefix, "prefix", "", "copy only the keys with this `prefix`")
	flags.StringVar(&s.to, "to", "", "prepend this `prefix` to every key at the destination")
	flags.IntVar(&s.Parallel, "parallel", 4, "the number of objects to copy concurrently")
	flags.Func("rate", "read at most this `size` per second, such as 20MiB (default: unlimited)", func(text string) (err error) {
		s.BytesPerSecond, err = parseSize(text)
		return err
	})
	flags.BoolVar(&s.DryRun, "dry-run", false, "compare, and report the objects to be copied")
	flags.BoolVar(&s.Overwrite, "overwrite", false, "replace objects that differ at the destination")
	flags.BoolVar(&s.Reread, "reread", false, "read every copy back and compare it")
	flags.StringVar(&s.report, "report", "", "write the result for each object to this `file`, as JSON Lines")
	flags.BoolVar(&s.quiet, "quiet", false, "show no progress")
	flags.Usage = func() {
		fmt.Fprintln(errOut, "usage: migrate [flags] SOURCE DESTINATION")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() != 2 {
		return nil, errors.New("want two URLs, source and destination; -help lists the flags")
	}
	s.source, s.destination = flags.Arg(0), flags.Arg(1)
	if s.to != "" {
		s.Key = func(key string) (string, bool) { return s.to + key, true }
	}
	return s, nil
}

func parseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for suffix, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = n, bytes
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("invalid size %q: want a size such as 500KiB or 20MiB", text)
	}
	return n * unit, nil
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	s, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err == nil {
		ctx = audit.WithActor(ctx, audit.Actor{UserID: s.actor})
		err = s.migrate(ctx, out, errOut)
	}
	switch {
	case err == nil:
		return exitDone
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "migrate: stopped; run the same command again to continue")
		return exitIncomplete
	case errors.Is(err, transfer.ErrIncomplete):
		fmt.Fprintln(errOut, "migrate:", err)
		return exitIncomplete
	}
	fmt.Fprintln(errOut, "migrate:", err)
	return exitFailed
}

func (s *settings) migrate(ctx context.Context, out, errOut io.Writer) (err error) {
	journal, err := sqlaudit.Open(ctx, s.trail, &sqlaudit.Options{Logger: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close(context.WithoutCancel(ctx))) }()
	src, err := blobstore.Open(ctx, s.source, journal, nil)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	defer func() { err = errors.Join(err, src.Close(ctx)) }()
	dst, err := blobstore.Open(ctx, s.destination, journal, nil)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	defer func() { err = errors.Join(err, dst.Close(ctx)) }()
	// Complete the unfinished operations of an earlier run that was killed.
	if _, err := dst.Reconcile(ctx); err != nil {
		return err
	}

	objects, size, err := transfer.Count(ctx, src, &s.Options)
	if err != nil {
		return err
	}
	if s.report != "" {
		closeReport, opening := s.writeReport()
		if opening != nil {
			return opening
		}
		defer func() { err = errors.Join(err, closeReport()) }()
	}
	if !s.quiet {
		s.showProgress(objects, size, errOut)
	}
	report, err := transfer.Copy(ctx, dst, src, &s.Options)
	verb := "copied"
	if s.DryRun {
		verb = "to be copied"
	}
	fmt.Fprintf(out, "%d objects: %d %s (%d bytes), %d already there, %d failed, %d files unreachable, in %v\n", objects, report.Copied, verb, report.Bytes,
		report.Present, report.Failed, report.Unreachable, report.Elapsed.Round(time.Millisecond))
	for _, f := range report.Failures {
		fmt.Fprintf(out, "%s: %q: %v\n", f.Status, f.Source, f.Err)
	}
	return err
}

// showProgress draws a progress bar with the rate and the remaining time.
func (s *settings) showProgress(objects int, size int64, errOut io.Writer) {
	bar := progressbar.NewOptions64(max(size, 1), progressbar.OptionSetWriter(errOut), progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetDescription(fmt.Sprintf("%d objects", objects)),
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(errOut) }))
	s.Progress = func(n int64) { _ = bar.Add64(n) } // ignore errors of the progress bar
	each := s.Each
	s.Each = func(r transfer.Result) {
		if r.Status != transfer.Copied || s.DryRun {
			_ = bar.Add64(r.Size) // skipped objects are done too
		}
		if each != nil {
			each(r)
		}
	}
}

// writeReport makes the copy write a line for each object to the report. It
// returns a function that closes the report.
func (s *settings) writeReport() (func() error, error) {
	f, err := os.Create(s.report)
	if err != nil {
		return nil, err
	}
	lines := json.NewEncoder(f)
	var failed error
	s.Each = func(r transfer.Result) {
		line := struct {
			Source string          `json:"source"`
			Key    string          `json:"key"`
			Size   int64           `json:"size"`
			Status transfer.Status `json:"status"`
			Error  string          `json:"error,omitempty"`
		}{r.Source, r.Key, r.Size, r.Status, ""}
		if r.Err != nil {
			line.Error = r.Err.Error()
		}
		failed = errors.Join(failed, lines.Encode(line))
	}
	return func() error { return errors.Join(failed, f.Close()) }, nil
}
