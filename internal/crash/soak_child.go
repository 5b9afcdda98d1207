//go:build unix

package crash

// This file implements the process of a soak. It runs until it receives
// SIGTERM, reports its resource usage at intervals, and reconciles like a
// program.

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/blobstore"
	"github.com/blobtrail/blobtrail/signurl"
)

const (
	soakKeep  = 10                     // objects of a caller, to limit the size of the bucket
	soakPause = 400 * time.Millisecond // maximum pause of a caller between two operations, for a mixed load
	soakLease = 10 * time.Second
)

// usage is the resource usage of a process.
type usage struct{ heap, rss, goroutines, files int }

func measure() (u usage) {
	runtime.GC() // count only memory in use
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.heap, u.goroutines = int(m.HeapAlloc), runtime.NumGoroutine()
	if files, err := os.ReadDir("/dev/fd"); err == nil {
		u.files = len(files)
	}
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil { // this file exists only on Linux
		if f := strings.Fields(string(statm)); len(f) > 1 {
			pages, _ := strconv.Atoi(f[1])
			u.rss = pages * os.Getpagesize()
		}
	}
	return u
}

// soakChild is the main function of a soak process. It never returns.
func soakChild(site Site, callers int) {
	ctx := audit.WithActor(context.Background(), audit.Actor{UserID: "child", IP: "127.0.0.1"})
	term, ended := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer ended()
	ack := lines()
	tell := func(what string, u usage) {
		ack("%s %d %d %d %d", what, u.heap, u.rss, u.goroutines, u.files)
	}
	before := measure()

	journal, err := site.journal(ctx)
	check(err)
	signer, err := signurl.New("http://127.0.0.1/files/", []signurl.Key{signurl.GenerateKey()}, nil)
	check(err)
	store, err := blobstore.Open(ctx, site.BucketURL, journal, &blobstore.Options{Signer: signer, Lease: soakLease})
	check(err)
	ack("ready")
	var running sync.WaitGroup
	every := func(d time.Duration, do func()) {
		running.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for {
				do()
				select {
				case <-tick.C:
				case <-term.Done():
					return
				}
			}
		})
	}
	every(soakLease, func() {
		// The next run settles operations whose outcome is still unknown.
		if _, err := store.Reconcile(ctx); err != nil && !errors.Is(err, blobstore.ErrInDoubt) {
			check(err)
		}
	})
	every(5*time.Second, func() { tell("usage", measure()) })
	for c := range callers {
		running.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(c)))
			var mine []string
			for term.Err() == nil {
				mine = step(ctx, store, &bomb{}, rnd, mine, site.Overwrite, soakKeep, ack)
				select {
				case <-time.After(time.Duration(rnd.Int64N(int64(soakPause)))):
				case <-term.Done():
				}
			}
		})
	}
	running.Wait()
	check(store.Close(ctx))
	check(journal.Close(ctx))

	// Idle connections release their resources after a timeout.
	after := measure()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); after = measure() {
		if after.goroutines <= before.goroutines && after.files <= before.files {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	tell("before", before)
	tell("after", after)
	os.Exit(0)
}
