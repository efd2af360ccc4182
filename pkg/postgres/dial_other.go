//go:build !linux

package postgres

import "syscall"

// setUserTimeout does nothing where there is no TCP_USER_TIMEOUT: keepalive alone finds a vanished server.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
