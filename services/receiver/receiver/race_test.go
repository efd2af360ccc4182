//go:build race

package receiver

import "time"

// With the race detector the strangers of the flood cost so much themselves that
// fewer come, and times say nothing.
const (
	strangers = 500
	slack     = time.Minute
)
