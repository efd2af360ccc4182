//go:build race

package receiver

// With the race detector the strangers of the flood cost so much themselves that
// fewer come.
const strangerCount = 500
