//go:build !race

package testdb

// RaceDetector reports whether the race detector watches this program.
const RaceDetector = false
