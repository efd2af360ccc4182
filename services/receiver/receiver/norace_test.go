//go:build !race

package receiver

const strangerCount = 2000 // connections at a time
