// Verify checks an audit trail in a database and, with -bucket, the bucket of
// its published checkpoints. It prints the result in plain words.
//
//	go run ./examples/verify [-key KEY]... [-bucket URL] [-prefix PREFIX] DATABASE
//
// DATABASE is a data source name for sqlaudit.Open: "sqlite:trail.db",
// "postgres://user:password@host/name" or "mysql://user:password@host/name".
// Verify needs only the right to read the tables, and changes nothing. KEY is
// the deployment's verifier key from sqlaudit.GenerateDeploymentKey. URL is the
// value of AUDIT_CHECKPOINTS_URL, such as s3://checkpoints?region=eu-central-1
// or local:///folder. The SDK of the service finds the credentials, for example
// in AWS_ACCESS_KEY_ID, AZURE_STORAGE_CONNECTION_STRING or
// GOOGLE_APPLICATION_CREDENTIALS. Verify does not read S3_ACCESS_KEY and
// similar variables. PREFIX is the value of sqlaudit.Checkpoints.Prefix, if it
// was set.
//
// Exit codes:
//
//   - 0: the trail is sound, and published checkpoints confirm it.
//   - 1: the trail was tampered with.
//   - 2: the trail cannot be checked. The database or the bucket cannot be
//     read, or the bucket has no checkpoint of this trail below PREFIX.
//   - 3: the trail is sound, but no bucket was given. A log whose end was cut
//     off would give the same result.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // registers mysql:
	_ "github.com/jackc/pgx/v5/stdlib" // registers postgres:
	_ "modernc.org/sqlite"             // registers sqlite:

	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	_ "github.com/blobtrail/blobtrail/blobstore/all" // registers the URLs of all providers
	"github.com/blobtrail/blobtrail/blobstore/driver"
)

// exitFailed is the exit code without a report.
var exitFailed = proof.VerdictNotCheckable.ExitCode()

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, out, errOut io.Writer, args []string) int {
	var keys []string
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Func("key", "the deployment's verifier `key`; repeat for every key ever used", func(s string) error {
		keys = append(keys, s)
		return nil
	})
	bucket := flags.String("bucket", "", "the `URL` of the bucket with the published checkpoints")
	prefix := flags.String("prefix", "", "the `prefix` of the keys of its objects")
	most := flags.Int("findings", 100, "the maximum number of findings to print")
	flags.Usage = func() {
		fmt.Fprintln(errOut, "usage: verify [-key KEY]... [-bucket URL] [-prefix PREFIX] DATABASE")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return exitFailed
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return exitFailed
	}
	began := time.Now()
	report, err := check(ctx, flags.Arg(0), *bucket, &sqlaudit.VerifyOptions{Keys: keys, Published: sqlaudit.Checkpoints{Prefix: *prefix}, MaxFindings: *most})
	if err != nil {
		fmt.Fprintln(errOut, "verify:", err)
		return exitFailed
	}
	say(out, report, time.Since(began))
	return report.Verdict.ExitCode()
}

func check(ctx context.Context, dsn, bucket string, o *sqlaudit.VerifyOptions) (_ *proof.Report, err error) {
	// SQLite would create a missing file, and an empty trail is always sound.
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	}
	if bucket != "" {
		b, openErr := driver.Open(ctx, existing(bucket), driver.Credentials{})
		if openErr != nil {
			return nil, fmt.Errorf("opening the bucket: %w", openErr)
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		o.Published.Bucket = b.Blob()
	}
	journal, err := sqlaudit.Open(ctx, dsn, &sqlaudit.Options{SkipMigrate: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, journal.Close(context.WithoutCancel(ctx))) }()
	return journal.Verify(ctx, o)
}

// existing removes the parameters from the URL that create a missing bucket,
// for the same reason.
func existing(bucket string) string {
	u, err := url.Parse(bucket)
	if err != nil {
		return bucket // opening it returns the error
	}
	q := u.Query()
	if !q.Has("create") && !q.Has("create_dir") {
		return bucket
	}
	q.Del("create")
	q.Del("create_dir")
	u.RawQuery = q.Encode()
	return u.String()
}

func say(out io.Writer, r *proof.Report, took time.Duration) {
	fmt.Fprintf(out, "Checked %s by %s, %s and %s in %v.\n", many(r.Entries, "entry", "entries"), many(int64(len(r.Streams)), "writer", "writers"),
		many(r.Checkpoints, "stored checkpoint", "stored checkpoints"), many(r.Published, "published one", "published ones"), took.Round(time.Millisecond))
	if r.Erased > 0 {
		fmt.Fprintf(out, "The personal fields of %s were erased by order.\n", many(r.Erased, "entry", "entries"))
	}
	for _, s := range r.Streams {
		by := "not certified by a deployment key"
		if s.CertifiedBy != "" {
			by = "certified by " + s.CertifiedBy
		}
		fmt.Fprintf(out, "\n%s on %s, %s\n", s.WriterID, s.Origin, by)
		fmt.Fprintf(out, "  %s, %d signed, %d published", many(s.Size, "entry", "entries"), s.Signed, s.Published)
		if s.First > 0 {
			fmt.Fprintf(out, "; the first %d were exported and removed by order", s.First)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out)
	switch r.Verdict {
	case proof.VerdictSound:
		fmt.Fprintln(out, "SOUND: the trail is unchanged.")
	case proof.VerdictNotAnchored:
		fmt.Fprintln(out, "SOUND, BUT NOT ANCHORED: the database is consistent. Use -bucket with the published checkpoints to check whether entries are missing.")
	case proof.VerdictTampered:
		fmt.Fprintf(out, "TAMPERED: the trail was changed. %s:\n", many(int64(r.Total), "finding", "findings"))
		for _, f := range r.Findings {
			fmt.Fprintln(out, " -", f)
		}
		if n := r.Total - len(r.Findings); n > 0 {
			fmt.Fprintf(out, " - and %d more\n", n)
		}
	default:
		fmt.Fprintln(out, "NOT CHECKABLE: the bucket has no checkpoint of this trail below the prefix. Check -bucket and -prefix. If they are correct, nothing was published yet, or the writers that published are missing from the database.")
	}
	if len(r.Remarks) > 0 {
		fmt.Fprintln(out, "\nLimits of this check:")
		for _, remark := range r.Remarks {
			fmt.Fprintln(out, " -", remark)
		}
	}
}

func many(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
