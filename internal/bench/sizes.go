package main

// This file measures the size of stripped programs that use the library.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const sizePrograms = "github.com/blobtrail/blobtrail/internal/bench/size/"

var sizes = []row{
	{
		what: "stripped program with audit and signurl only", unit: megabytes, goal: noMoreThan(6e6), once: true,
		open: func(e *env) (side, side, error) {
			ours, err := weigh(e, "trail")
			return ours, nil, err
		},
	},
	{
		what: "stripped program with local files and the trail in SQLite", unit: megabytes, goal: noMoreThan(18e6), once: true,
		open: func(e *env) (side, side, error) {
			ours, err := weigh(e, "local")
			return ours, nil, err
		},
	},
	{
		what: "what S3 adds to that program", unit: megabytes, goal: noMoreThan(11e6), once: true,
		open: func(e *env) (side, side, error) {
			with, err := weigh(e, "s3")
			if err != nil {
				return nil, nil, err
			}
			without, err := weigh(e, "local")
			return func(int) (float64, error) {
				a, err := with(1)
				if err != nil {
					return 0, err
				}
				b, err := without(1)
				return a - b, err
			}, nil, err
		},
	},
}

// weigh builds one of the programs in the folder size. One build suffices,
// because the size is reproducible.
func weigh(e *env, program string) (side, error) {
	dir, err := e.dir()
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, program)
	build := exec.CommandContext(e, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, sizePrograms+program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building %s: %w\n%s", program, err, out)
	}
	fi, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	return func(int) (float64, error) { return float64(fi.Size()), nil }, nil
}
