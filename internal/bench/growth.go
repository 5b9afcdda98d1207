package main

// This file measures the growth of cost as curves, by the number of callers,
// the size of an object, the number of objects and entries, and the number of
// processes on one database. Each curve is one file, with its figures in
// growth.md.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/sqlaudit"
	"github.com/blobtrail/blobtrail/blobstore"
)

// curve is a picture of several lines of points.
type curve struct {
	file, title, x, y string
	measure           func(e *env, g *growth) ([]line, error)
}

type line struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

// growth has the limits of the measurements.
type growth struct {
	most  int           // maximum number of objects and entries
	size  int64         // approximate size of the largest object in bytes
	slice time.Duration // duration of each point
	notes []string      // remarks that the curves do not show
}

var curves = []curve{
	{"growth-callers", "Operations a second, by callers at once", "callers", "operations / s", byCallers},
	{"growth-size", "Bytes a second, by the size of the object", "bytes of an object", "MiB / s", bySize},
	{"growth-objects", "Listings, by the number of objects", "objects", "seconds", byObjects},
	{"growth-entries", "Reading the trail, by the number of entries", "entries", "seconds", byEntries},
	{"growth-processes", "Operations a second, by processes on one PostgreSQL", "processes of 16 callers", "operations / s", byProcesses},
}

// grow measures the curves and writes them to the folder.
func grow(ctx context.Context, work, dir string, g *growth, progress io.Writer) (err error) {
	table, err := os.Create(filepath.Join(dir, "growth.md"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	for _, c := range curves {
		fmt.Fprintf(progress, "%s\n", c.title)
		lines, err := func() (lines []line, err error) {
			e := &env{Context: ctx, folder: work}
			defer func() { err = errors.Join(err, e.close()) }()
			return c.measure(e, g)
		}()
		if err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
		if err := c.draw(filepath.Join(dir, c.file+".svg"), lines); err != nil {
			return err
		}
		if err := c.write(table, lines); err != nil {
			return err
		}
	}
	for _, n := range g.notes {
		if _, err := fmt.Fprintf(table, "- %s\n", n); err != nil {
			return err
		}
	}
	return nil
}

// rate runs op with concurrent callers for about the slice, and returns the
// operations per second.
func rate(callers int, slice time.Duration, op func() error) (float64, error) {
	var done atomic.Int64
	run := parallel(callers, func() error { done.Add(1); return op() })
	if _, err := run(callers); err != nil { // warm up
		return 0, err
	}
	cost, err := run(4 * callers)
	if err != nil {
		return 0, err
	}
	cost, err = run(int(slice.Seconds()/cost) + 1)
	return 1 / cost, err
}

// processorTime returns the processor time used by this process, without its
// servers.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func byCallers(e *env, g *growth) ([]line, error) {
	store, _, err := recorded(e)
	if err != nil {
		return nil, err
	}
	var n atomic.Int64
	content := make([]byte, 1<<10)
	ops := []struct {
		name string
		op   func() error
	}{{"upload of 1 KiB, local and SQLite", func() error {
		_, err := store.Upload(e, fmt.Sprintf("invoices/%d", n.Add(1)), &body{content: content}, nil)
		return err
	}}}
	for _, db := range []struct {
		name string
		make database
	}{{"an entry, SQLite", sqlite}, {"an entry, PostgreSQL", postgres}, {"an entry, MariaDB", mariadb}} {
		dsn, err := db.make(e)
		if err != nil {
			return nil, err
		}
		journal, err := openJournal(e, dsn)
		if err != nil {
			return nil, err
		}
		ops = append(ops, struct {
			name string
			op   func() error
		}{db.name, func() error { return journal.Log(e, event(n.Add(1))) }})
	}
	var lines []line
	for _, o := range ops {
		l := line{name: o.name}
		for callers := 1; callers <= 64; callers *= 2 {
			cpu, started := processorTime(), time.Now()
			r, err := rate(callers, g.slice, o.op)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.name, err)
			}
			l.points = append(l.points, point{float64(callers), r})
			if callers == 64 {
				busy := (processorTime() - cpu).Seconds() / time.Since(started).Seconds()
				g.notes = append(g.notes, fmt.Sprintf("%s, 64 callers: %.0f s for a million, with %.0f s of processor time in the program itself",
					o.name, 1e6/r, busy*1e6/r))
			}
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// recorded opens local files with a trail in SQLite.
func recorded(e *env) (*blobstore.Store, *sqlaudit.Journal, error) {
	dsn, err := sqlite(e)
	if err != nil {
		return nil, nil, err
	}
	journal, err := openJournal(e, dsn)
	if err != nil {
		return nil, nil, err
	}
	dir, err := e.dir()
	if err != nil {
		return nil, nil, err
	}
	store, err := blobstore.Open(e, "local://"+filepath.ToSlash(dir)+"/files?create=true", journal,
		&blobstore.Options{DefaultActor: audit.Actor{UserID: "bench"}})
	if err == nil {
		e.cleanup(func() error { return store.Close(e) })
	}
	return store, journal, err
}

func bySize(e *env, g *growth) ([]line, error) {
	store, _, err := recorded(e)
	if err != nil {
		return nil, err
	}
	dir, err := e.dir()
	if err != nil {
		return nil, err
	}
	raw, err := rawUploads(e, filepath.Join(dir, "raw"))
	if err != nil {
		return nil, err
	}
	lines := []line{{name: "upload, recorded and durable"}, {name: "raw write, SHA-256, fsync"}, {name: "download, recorded"}}
	n := 0
	for size := int64(1 << 10); size <= g.size; size *= 8 {
		key := ""
		ops := []func() error{
			func() error {
				n++
				key = fmt.Sprintf("sizes/%d", n)
				_, err := store.Upload(e, key, &zeros{left: size}, nil)
				return err
			},
			func() error {
				n++
				return raw(fmt.Sprintf("invoices/%d", n), &zeros{left: size})
			},
			func() error {
				r, err := store.Download(e, key, nil)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, r)
				return errors.Join(err, r.Close())
			},
		}
		for i, op := range ops {
			// Operations longer than the slice run once, to limit the disk
			// space.
			start := time.Now()
			if err := op(); err != nil {
				return nil, err
			}
			r := 1 / time.Since(start).Seconds()
			if size < 64<<20 {
				if r, err = rate(1, min(g.slice, time.Duration(float64(512<<20)/float64(size)/r*float64(time.Second))), op); err != nil {
					return nil, err
				}
			}
			lines[i].points = append(lines[i].points, point{float64(size), r * float64(size) / (1 << 20)})
		}
	}
	return lines, nil
}

func byObjects(e *env, g *growth) ([]line, error) {
	lines := []line{{name: "the whole listing"}, {name: "filepath.WalkDir with Info"}, {name: "the first 1,000 objects"}}
	for n := 1000; n <= g.most; n *= 10 {
		store, dir, err := filled(e, n, 1000)
		if err != nil {
			return nil, err
		}
		for i, op := range []func() error{
			func() error { return listAll(e, store, n) },
			func() error { return walkAll(dir, n) },
			func() error {
				found := 0
				for _, err := range store.List(e, nil) {
					if found++; err != nil || found == 1000 {
						return err
					}
				}
				return nil
			},
		} {
			cost, err := timed(op, nil)(max(1, 100_000/n))
			if err != nil {
				return nil, err
			}
			lines[i].points = append(lines[i].points, point{float64(n), cost})
		}
	}
	return lines, nil
}

func byEntries(e *env, g *growth) ([]line, error) {
	var lines []line
	for _, db := range []struct {
		name string
		make database
	}{{"SQLite", sqlite}, {"PostgreSQL", postgres}} {
		dsn, err := db.make(e)
		if err != nil {
			return nil, err
		}
		journal, err := openJournal(e, dsn)
		if err != nil {
			return nil, err
		}
		verify, page := line{name: "Verify, " + db.name}, line{name: "a page of 50 of a user, " + db.name}
		var i atomic.Int64
		log := parallel(512, func() error { return journal.Log(e, event(i.Add(1))) })
		for n := 1000; n <= g.most; n *= 10 {
			if _, err := log(n - int(i.Load())); err != nil {
				return nil, err
			}
			cost, err := timed(func() error {
				report, err := journal.Verify(e, nil)
				if err == nil {
					err = report.Err()
				}
				return err
			}, nil)(max(1, 10_000/n))
			if err != nil {
				return nil, err
			}
			verify.points = append(verify.points, point{float64(n), cost})
			if cost, err = quick(func() error {
				for _, err := range journal.Entries(e, audit.Query{UserID: "user-7", NewestFirst: true, Limit: 50}) {
					if err != nil {
						return err
					}
				}
				return nil
			})(200); err != nil {
				return nil, err
			}
			page.points = append(page.points, point{float64(n), cost})
		}
		lines = append(lines, verify, page)
		bytes, err := footprint(e, dsn)
		if err != nil {
			return nil, err
		}
		g.notes = append(g.notes, fmt.Sprintf("%s: %.0f bytes an entry in the database, with its indexes, at %d entries", db.name, bytes/float64(i.Load()), i.Load()))
	}
	return lines, nil
}

const (
	envWorker = "BLOBTRAIL_BENCH_WORKER" // the DSN for a process of byProcesses
	envSlice  = "BLOBTRAIL_BENCH_SLICE"
)

func byProcesses(e *env, g *growth) ([]line, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := line{name: "strict protocol: intent, entry and proof"}
	for processes := 1; processes <= 4; processes++ {
		dsn, err := postgres(e)
		if err != nil {
			return nil, err
		}
		rates := make(chan float64, processes)
		failed := make(chan error, processes)
		for range processes {
			cmd := exec.CommandContext(e, exe)
			cmd.Env = append(os.Environ(), envWorker+"="+dsn, envSlice+"="+g.slice.String())
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGKILL) }
			go func() {
				out, err := cmd.Output()
				r, bad := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
				failed <- errors.Join(err, bad)
				rates <- r
			}()
		}
		sum := 0.0
		for range processes {
			err = errors.Join(err, <-failed)
			sum += <-rates
		}
		if err != nil {
			return nil, err
		}
		l.points = append(l.points, point{float64(processes), sum})
	}
	return []line{l}, nil
}

// worker is a process of byProcesses. It prints its operations per second.
func worker(ctx context.Context, dsn string, stdout io.Writer) error {
	slice, err := time.ParseDuration(os.Getenv(envSlice))
	if err != nil {
		return err
	}
	if u, err := url.Parse(dsn); err != nil || u.Scheme == "" {
		return errors.New("no DSN")
	}
	journal, err := sqlaudit.Open(ctx, dsn, &sqlaudit.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	var n atomic.Int64
	r, err := rate(16, slice, func() error {
		in, err := journal.Begin(ctx, event(n.Add(1)), 0)
		if err != nil {
			return err
		}
		return in.Settle(ctx, audit.Result{Outcome: audit.OutcomeOK})
	})
	fmt.Fprintln(stdout, r)
	return errors.Join(err, journal.Close(ctx))
}

// footprint returns the size of a database.
func footprint(e *env, dsn string) (bytes float64, err error) {
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		fi, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		return float64(fi.Size()), nil
	}
	db, err := sqlx.Open("pgx", dsn)
	if err != nil {
		return 0, err
	}
	defer db.Close() //nolint:errcheck // the database was only read
	return bytes, db.GetContext(e, &bytes, "SELECT pg_database_size(current_database())")
}
