package audittest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/audit/audittest"
)

func TestMemory(t *testing.T) {
	audittest.Run(t, func(*testing.T) audittest.Harness {
		var ahead atomic.Int64
		m := &audit.Memory{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
		return audittest.Harness{
			Open:        func(testing.TB) audittest.Journal { return m },
			Advance:     func(_ testing.TB, d time.Duration) { ahead.Add(int64(d)) },
			OpenIntents: func(testing.TB) int { return m.OpenIntents() },
		}
	})
}

// This test repeats the suite with real leases.
func TestMemoryRealLeases(t *testing.T) {
	audittest.Run(t, func(*testing.T) audittest.Harness {
		m := &audit.Memory{}
		return audittest.Harness{
			Open:        func(testing.TB) audittest.Journal { return m },
			OpenIntents: func(testing.TB) int { return m.OpenIntents() },
		}
	})
}

// A mirror does not change the trail.
func TestMulti(t *testing.T) {
	type multi struct {
		audit.Journal
		audit.Reader
	}
	audittest.Run(t, func(*testing.T) audittest.Harness {
		var ahead atomic.Int64
		m := &audit.Memory{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
		j := multi{audit.Multi(m, audit.Discard), m}
		return audittest.Harness{
			Open:        func(testing.TB) audittest.Journal { return j },
			Advance:     func(_ testing.TB, d time.Duration) { ahead.Add(int64(d)) },
			OpenIntents: func(testing.TB) int { return m.OpenIntents() },
		}
	})
}
