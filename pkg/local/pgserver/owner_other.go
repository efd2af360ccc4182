//go:build !linux

package pgserver

import (
	"errors"
	"os"
	"syscall"
)

// owner is who runs the server: here always ourselves.
type owner struct{}

func ownerFor(string) (owner, error) {
	if os.Geteuid() == 0 {
		return owner{}, errors.New("postgres does not run as root: run as an ordinary user")
	}
	return owner{}, nil
}

func (owner) attributes() *syscall.SysProcAttr { return nil }

func (owner) take(string) error { return nil }

// isServer reports whether the process is alive. What it is cannot be told here, so it is taken for a server.
func isServer(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = process.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, syscall.EPERM)
}
