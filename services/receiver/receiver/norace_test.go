//go:build !race

package receiver

const strangers = 2000 // connections at a time
