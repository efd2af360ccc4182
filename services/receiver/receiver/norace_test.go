//go:build !race

package receiver

import "time"

const (
	strangers = 2000 // connections at a time
	slack     = time.Second
)
