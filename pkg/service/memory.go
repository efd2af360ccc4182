package service

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// containerShare of a container's memory is where its process's soft limit
// lies: the rest is for what the Go runtime does not count.
const containerShare = 0.9

// growth is how much the heap may grow between two collections, in percent of
// what lives: below the limit memory is cheaper than collections. They took a
// quarter of the normalizer's CPU at the runtime's own 100.
const growth = 300

// LimitMemory sets where the garbage collector begins to work harder: at most,
// or at 90% of the container's limit (its cgroup's) where that is less. most 0
// leaves the container's alone. The limit is soft: nothing fails beyond it.
// GOMEMLIMIT overrides all of it, and GOGC how often the collector works below
// the limit, which is a third of what the runtime would do. LimitMemory gives the limit that now holds, in
// bytes (math.MaxInt64: none).
//
// The limit is the whole process's: Main sets it, and so does a program that is
// measured like a service. A process that holds several services does not.
func LimitMemory(most settings.Bytes) int64 {
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(softLimit(most, memlimit.FromCgroup))
	}
	limit := debug.SetMemoryLimit(-1)
	if _, set := os.LookupEnv("GOGC"); !set && limit < math.MaxInt64 {
		debug.SetGCPercent(growth)
	}
	return limit
}

// softLimit is the lesser of the setting and the container's share. A container
// that cannot be read is as good as none: the setting still holds.
func softLimit(most settings.Bytes, container memlimit.Provider) int64 {
	limit := int64(math.MaxInt64)
	if most > 0 {
		limit = int64(most)
	}
	allowed, err := memlimit.ApplyRatio(container, containerShare)()
	if err != nil || allowed > uint64(limit) {
		return limit
	}
	return int64(allowed)
}
