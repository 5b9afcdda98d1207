package main

// This file implements the harness. It runs both sides of a row in turn and
// compares them.
//
// Between two separate benchmarks, conditions change: the load of the machine,
// the disk cache, the temperature of the processor. Each round therefore runs
// both sides briefly, and the next round runs them in reverse order. The result
// is the ratio within a round. The median of these ratios is stable even on a
// busy machine.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blobtrail/blobtrail/internal/testdb"
)

// row is one line of the table: the operation, the peer, and the goal.
type row struct {
	what, peer string
	unit       unit
	goal       goal
	once       bool // one operation per round suffices: it is long, or it is not timed
	open       func(e *env) (ours, theirs side, err error)
}

// side performs n operations and returns the cost of one, in the row's unit.
// The other side is nil if ours is compared with a number.
type side func(n int) (cost float64, err error)

// errLeftOut reports that a requirement of a row is missing on this machine.
var errLeftOut = errors.New("left out")

// env is the environment of a row.
type env struct {
	context.Context
	folder   string
	servers  map[string]*testdb.Server
	cleanups []func() error
}

// dir creates an empty folder. It is removed after the last row. For a minute
// after many removals, ext4 creates files many times slower, which would slow
// the next row.
func (e *env) dir() (string, error) { return os.MkdirTemp(e.folder, "row-") }

func (e *env) cleanup(f func() error) { e.cleanups = append(e.cleanups, f) }

func (e *env) close() (err error) {
	for _, f := range slices.Backward(e.cleanups) {
		err = errors.Join(err, f())
	}
	return err
}

// timed measures op, excluding after, which may be nil.
func timed(op, after func() error) side {
	return func(n int) (float64, error) {
		var spent time.Duration
		for range n {
			start := time.Now()
			err := op()
			spent += time.Since(start)
			if err == nil && after != nil {
				err = after()
			}
			if err != nil {
				return 0, err
			}
		}
		return spent.Seconds() / float64(n), nil
	}
}

// quick measures an op that is too short to time individually.
func quick(op func() error) side {
	return parallel(1, op)
}

// parallel measures op with concurrent callers. The cost is the time from one
// completion to the next.
func parallel(callers int, op func() error) side {
	return func(n int) (float64, error) {
		n = max(n, callers)
		var (
			left   atomic.Int64
			wg     sync.WaitGroup
			failed = make(chan error, callers)
		)
		left.Store(int64(n))
		start := time.Now()
		for range callers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := op(); err != nil {
						failed <- err
						return
					}
				}
			})
		}
		wg.Wait()
		spent := time.Since(start)
		select {
		case err := <-failed:
			return 0, err
		default:
			return spent.Seconds() / float64(n), nil
		}
	}
}

// allocations measures the number of allocations of op.
func allocations(op func() error) side {
	return func(int) (float64, error) {
		const n = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			if err := op(); err != nil {
				return 0, err
			}
		}
		runtime.ReadMemStats(&after)
		return math.Floor(float64(after.Mallocs-before.Mallocs) / n), nil
	}
}

// These limits end a row of long operations before all its rounds have run.
const (
	longestRow   = 20 * time.Second
	fewestRounds = 7
)

// result has the measurements of all rounds.
type result struct {
	row
	ours, theirs, ratios []float64 // the costs and ratios of each round
}

func (r row) run(e *env, rounds int, slice time.Duration) (res result, err error) {
	res.row = r
	defer func() { err = errors.Join(err, e.close()) }()
	ours, theirs, err := r.open(e)
	if err != nil {
		return res, err
	}
	nOurs, err := r.repetitions(ours, slice)
	if err != nil {
		return res, fmt.Errorf("ours: %w", err)
	}
	nTheirs, err := r.repetitions(theirs, slice)
	if err != nil {
		return res, fmt.Errorf("%s: %w", r.peer, err)
	}
	started := time.Now()
	for i := 0; i < rounds && (i < fewestRounds || time.Since(started) < longestRow); i++ {
		var o, t float64
		runOurs := func() (err error) { o, err = measure(ours, nOurs); return err }
		runTheirs := func() (err error) { t, err = measure(theirs, nTheirs); return err }
		first, second := runOurs, runTheirs
		if i%2 == 1 {
			first, second = second, first
		}
		if err := cmp.Or(e.Err(), first(), second()); err != nil {
			return res, err
		}
		res.ours = append(res.ours, o)
		if theirs != nil {
			res.theirs = append(res.theirs, t)
			res.ratios = append(res.ratios, o/t)
		}
	}
	return res, nil
}

// measure runs a side after a garbage collection, so that it does not pay for
// the garbage of the other side.
func measure(s side, n int) (float64, error) {
	if s == nil {
		return 0, nil
	}
	runtime.GC()
	return s(n)
}

// repetitions returns the number of operations that fill the slice. The
// attempts also warm the side up.
func (r row) repetitions(s side, slice time.Duration) (int, error) {
	n := 1
	for s != nil {
		start := time.Now()
		if _, err := s(n); err != nil {
			return 0, err
		}
		spent := time.Since(start)
		if r.once || spent >= slice/2 {
			if spent > 2*slice {
				n = max(1, int(float64(n)*float64(slice)/float64(spent)))
			}
			break
		}
		n = max(n+1, int(float64(n)*min(100, 1.1*float64(slice)/float64(max(spent, 1)))))
	}
	return n, nil
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// quartiles returns the limits of the middle half.
func quartiles(v []float64) (low, high float64) {
	v = slices.Sorted(slices.Values(v))
	return v[(len(v)-1)/4], v[len(v)-1-(len(v)-1)/4]
}

// goal is the target of a row. The zero value means no target.
type goal struct {
	ratio float64 // the target ratio of the costs or of the speeds
	speed bool
	limit float64 // the target cost of our side alone, in the row's unit
}

func atMost(ratio float64) goal       { return goal{ratio: ratio} }
func speedAtLeast(ratio float64) goal { return goal{ratio: ratio, speed: true} }
func noMoreThan(limit float64) goal   { return goal{limit: limit} }

func (g goal) text(u unit) string {
	switch {
	case g.limit > 0:
		return "≤ " + u.text(g.limit)
	case g.speed:
		return fmt.Sprintf("≥ %.2f× the speed", g.ratio)
	case g.ratio > 0:
		return fmt.Sprintf("≤ %.2f×", g.ratio)
	}
	return "–"
}

// verdict compares the median of the rounds with the goal.
func (r result) verdict() string {
	reached := false
	switch g := r.goal; {
	case g == goal{}:
		return "–"
	case g.limit > 0:
		reached = median(r.ours) <= g.limit
	case g.speed:
		reached = median(r.inGoalsTerms(r.ratios)) >= g.ratio
	default:
		reached = median(r.ratios) <= g.ratio
	}
	if reached {
		return "reached"
	}
	return "**missed**"
}

// inGoalsTerms converts ratios of costs to ratios of speeds if the goal is a
// speed.
func (r result) inGoalsTerms(ratios []float64) []float64 {
	if !r.goal.speed {
		return ratios
	}
	var speeds []float64
	for _, v := range ratios {
		speeds = append(speeds, 1/v)
	}
	return speeds
}

const tableHead = `| what | ours | against | theirs | ratio | middle half | of medians | to reach | |
|---|---:|---|---:|---:|---:|---:|---|---|
`

// line returns the row of the Markdown table.
func (r result) line() string {
	theirs, ratio, spread, ofMedians := "", "", "", ""
	low, high := quartiles(r.ours)
	spread = r.unit.text(low) + " – " + r.unit.text(high)
	if len(r.theirs) > 0 {
		ratios := r.inGoalsTerms(r.ratios)
		theirs = r.unit.text(median(r.theirs))
		ratio = fmt.Sprintf("%.2f", median(ratios))
		low, high := quartiles(ratios)
		spread = fmt.Sprintf("%.2f – %.2f", low, high)
		ofMedians = fmt.Sprintf("%.2f", r.inGoalsTerms([]float64{median(r.ours) / median(r.theirs)})[0])
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
		r.what, r.unit.text(median(r.ours)), r.peer, theirs, ratio, spread, ofMedians, r.goal.text(r.unit), r.verdict())
}

// unit is the unit of a row.
type unit int

const (
	seconds unit = iota
	sizeInBytes
	megabytes // decimal, as is common for file sizes
	count
)

func (u unit) text(v float64) string {
	switch u {
	case sizeInBytes:
		return scaled(v, 1024, "B", "KiB", "MiB", "GiB")
	case megabytes:
		return fmt.Sprintf("%.1f MB", v/1e6)
	case count:
		return fmt.Sprintf("%.0f", v)
	}
	return scaled(v*1e9, 1000, "ns", "µs", "ms", "s")
}

func scaled(v, step float64, names ...string) string {
	for len(names) > 1 && v >= step {
		v /= step
		names = names[1:]
	}
	return fmt.Sprintf("%.3g %s", v, names[0])
}
