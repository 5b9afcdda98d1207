//go:build race

package testdb

// RaceDetector reports whether the race detector is enabled.
const RaceDetector = true
