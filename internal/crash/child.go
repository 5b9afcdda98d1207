//go:build unix

package crash

// This file implements the killed process. Several goroutines perform
// operations and write a line for every acknowledged one. The process runs
// until it is killed from outside, or until it kills itself at the given point.

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/blobstore/driver"
	"github.com/blobtrail/blobtrail/signurl"
)

// point is a point in an operation at which the child kills itself.
type point string

const (
	nowhere      point = ""
	afterIntent  point = "after intent"
	midWrite     point = "mid-write"
	afterWrite   point = "after write"
	midMove      point = "between copy and delete of a move"
	afterDelete  point = "after delete"
	beforeSettle point = "before the settling commit"
	afterSettle  point = "after the settling commit"
)

var points = []point{afterIntent, midWrite, afterWrite, midMove, afterDelete, beforeSettle, afterSettle}

// bomb kills the process when it passes its point for the nth time.
type bomb struct {
	at   point
	left atomic.Int64
}

func (b *bomb) pass(p point) {
	if b.at == p && b.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}

// child is the main function of a killed process. It never returns.
func child(site Site, at point, passages int64, recordLate bool) {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "child", IP: "127.0.0.1"})
	b := &bomb{at: at}
	b.left.Store(passages)

	var journal audit.Journal
	sql, err := site.journal(ctx)
	check(err)
	journal = sql
	if recordLate {
		journal = lateJournal{journal}
	}
	bucket, err := driver.Open(ctx, site.BucketURL, driver.Credentials{})
	check(err)
	signer, err := signurl.New("http://127.0.0.1/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	check(err)
	store, err := blobstore.New(bombBucket{bucket, b}, bombJournal{journal, b}, &blobstore.Options{Signer: signer})
	check(err)

	ack := lines()
	ack("ready")
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(w)))
			var mine []string
			for {
				mine = step(ctx, store, b, rnd, mine, site.Overwrite, 0, ack)
			}
		})
	}
	workers.Wait()
}

// lines returns a function that writes one line at a time.
func lines() func(format string, args ...any) {
	var out sync.Mutex
	return func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
}

// step performs a random operation and reports it after its acknowledgment.
// Before it changes an acknowledged object, it writes a line with "try". If the
// caller has keep objects, step deletes one; 0 means unlimited.
func step(ctx context.Context, store *blobstore.Store, b *bomb, rnd *rand.Rand, mine []string, overwrite bool, keep int, ack func(string, ...any)) []string {
	content := make([]byte, 1+rnd.IntN(100_000))
	for i := range content {
		content[i] = byte(rnd.Uint32())
	}
	sum := sha256.Sum256(content)
	pick := -1
	if len(mine) > 0 {
		pick = rnd.IntN(len(mine))
	}
	forget := func() { mine = append(mine[:pick], mine[pick+1:]...) }

	op := rnd.IntN(10)
	if keep > 0 && len(mine) >= keep {
		op = 8
	}
	switch {
	case op < 4 || pick < 0:
		key := blobstore.NewKey("invoices", "scan.bin")
		obj, err := store.Upload(ctx, key, &bombReader{content: content, b: b}, &blobstore.UploadOptions{Link: &blobstore.LinkOptions{}})
		check(err)
		ack("upload %s %x", key, sum)
		ack("link %s %s", key, obj.Link.GrantID)
		mine = append(mine, key)
	case op == 4 && overwrite:
		key := mine[pick]
		ack("try %s", key)
		_, err := store.Upload(ctx, key, &bombReader{content: content, b: b}, &blobstore.UploadOptions{Overwrite: true})
		check(err)
		ack("upload %s %x", key, sum)
	case op == 5:
		link, err := store.Link(ctx, mine[pick], nil)
		check(err)
		ack("link %s %s", mine[pick], link.GrantID)
	case op == 6:
		dst := blobstore.NewKey("moved", "scan.bin")
		ack("try %s", mine[pick])
		check(store.Move(ctx, dst, mine[pick], nil))
		ack("delete %s", mine[pick])
		ack("exists %s", dst)
		forget()
		mine = append(mine, dst)
	case op == 7:
		dst := blobstore.NewKey("copied", "scan.bin")
		check(store.Copy(ctx, dst, mine[pick], nil))
		ack("exists %s", dst)
		mine = append(mine, dst)
	case op == 8:
		ack("try %s", mine[pick])
		check(store.Delete(ctx, mine[pick], nil))
		ack("delete %s", mine[pick])
		forget()
	default:
		r, err := store.Download(ctx, mine[pick], nil)
		check(err)
		_, err = io.Copy(io.Discard, r)
		check(errors.Join(err, r.Close()))
		ack("download %s", mine[pick])
	}
	return mine
}

func check(err error) {
	if err != nil {
		fmt.Printf("error %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		os.Exit(3)
	}
}

// bombReader passes midWrite after half of its content was read.
type bombReader struct {
	content []byte
	n       int
	b       *bomb
}

func (r *bombReader) Read(p []byte) (int, error) {
	if r.n == len(r.content) {
		return 0, io.EOF
	}
	n := copy(p, r.content[r.n:min(len(r.content), r.n+8192)])
	if r.n <= len(r.content)/2 && r.n+n > len(r.content)/2 {
		r.b.pass(midWrite)
	}
	r.n += n
	return n, nil
}

type bombBucket struct {
	driver.Bucket
	b *bomb
}

func (b bombBucket) Write(ctx context.Context, key string, r io.Reader, o *driver.WriteOptions) error {
	err := b.Bucket.Write(ctx, key, r, o)
	b.b.pass(afterWrite)
	return err
}

func (b bombBucket) Copy(ctx context.Context, dst, src string, o *driver.CopyOptions) error {
	err := b.Bucket.Copy(ctx, dst, src, o)
	if strings.HasPrefix(dst, "moved/") {
		b.b.pass(midMove)
	}
	return err
}

func (b bombBucket) Delete(ctx context.Context, key string, o *driver.DeleteOptions) error {
	err := b.Bucket.Delete(ctx, key, o)
	b.b.pass(afterDelete)
	return err
}

type bombJournal struct {
	audit.Journal
	b *bomb
}

func (j bombJournal) Begin(ctx context.Context, e audit.Event, lease time.Duration) (audit.Intent, error) {
	in, err := j.Journal.Begin(ctx, e, lease)
	j.b.pass(afterIntent)
	return bombIntent{in, j.b}, err
}

type bombIntent struct {
	audit.Intent
	b *bomb
}

func (in bombIntent) Settle(ctx context.Context, r audit.Result, also ...audit.Event) error {
	in.b.pass(beforeSettle)
	err := in.Intent.Settle(ctx, r, also...)
	in.b.pass(afterSettle)
	return err
}

// lateJournal records operations after their effect instead of before it, like
// programs that write a log line when they are done. The harness must detect
// the missing records.
type lateJournal struct{ audit.Journal }

func (j lateJournal) Begin(ctx context.Context, e audit.Event, _ time.Duration) (audit.Intent, error) {
	e, err := audit.PrepareIntent(ctx, e)
	return lateIntent{j, e}, err
}

type lateIntent struct {
	j     lateJournal
	event audit.Event
}

func (in lateIntent) OpID() string                               { return in.event.OpID }
func (in lateIntent) Event() audit.Event                         { return in.event }
func (in lateIntent) Renew(context.Context, time.Duration) error { return nil }

func (in lateIntent) Settle(ctx context.Context, r audit.Result, also ...audit.Event) error {
	for _, e := range append([]audit.Event{in.event.With(r)}, also...) {
		if err := in.j.Log(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
