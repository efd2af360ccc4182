//go:build !linux

package postgres

import (
	"syscall"
	"time"
)

// userTimeout is for Linux; elsewhere keepalives find a server out that is gone.
func userTimeout(time.Duration) func(network, address string, conn syscall.RawConn) error { return nil }
