package main

// This file measures the heap that one streaming upload needs.

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

var memory = []row{
	{
		what: "heap of one streaming upload, local, 256 MiB", unit: sizeInBytes, goal: noMoreThan(0.2 * (1 << 20)), once: true,
		open: func(e *env) (side, side, error) {
			ours, err := uploadHeap(e, 256<<20)
			return ours, nil, err
		},
	},
	{
		what: "heap of one streaming upload, local, 256 MiB", peer: "of 1 MiB", unit: sizeInBytes, goal: atMost(1.05), once: true,
		open: func(e *env) (ours, theirs side, err error) {
			if ours, err = uploadHeap(e, 256<<20); err == nil {
				theirs, err = uploadHeap(e, 1<<20)
			}
			return ours, theirs, err
		},
	},
}

// uploadHeap measures all allocations of an upload, with empty pools and
// without garbage collection. The peak of the heap cannot be higher, however
// late the collector runs.
func uploadHeap(e *env, size int64) (side, error) {
	dir, err := e.dir()
	if err != nil {
		return nil, err
	}
	store, err := openLocal(e, dir)
	if err != nil {
		return nil, err
	}
	i := 0
	return func(int) (float64, error) {
		i++
		key := fmt.Sprintf("%d.bin", i)
		source := io.Reader(&zeros{left: size})
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		runtime.GC()
		runtime.GC() // the content of a pool survives one collection
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := store.Upload(e, key, source, nil)
		runtime.ReadMemStats(&after)
		if err == nil {
			err = store.Delete(e, key, nil)
		}
		return float64(after.TotalAlloc - before.TotalAlloc), err
	}, nil
}

// zeros returns a number of zero bytes without allocating.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	return n, nil
}
