//go:build prove && !linux

package e2e

import (
	"errors"
	"testing"
)

// disk is none: only Linux has one that this test can fill.
type disk struct{}

func newDisk(*testing.T, string, int64) (*disk, error) {
	return nil, errors.New("only Linux has file systems in memory that can be made smaller")
}

func (*disk) fill(*testing.T) {}

func (*disk) empty(*testing.T) {}
