package service

import (
	"os"
	"runtime/debug"
)

// memoryLimit is where the garbage collector begins to work harder. It is soft:
// nothing fails beyond it. Every stage is built to stay below 100 MB.
const memoryLimit = 64 << 20

// LimitMemory sets the soft limit of a stage's process, unless GOMEMLIMIT says
// otherwise. Main calls it; a process that holds several stages does not.
func LimitMemory() {
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(memoryLimit)
	}
}
