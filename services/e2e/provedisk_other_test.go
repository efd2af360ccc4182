//go:build prove && !linux

package e2e

import "testing"

// disk is none: only Linux has one that this test can fill.
type disk struct{}

func newDisk(*testing.T, string, int64) *disk { return nil }

func (*disk) fill(*testing.T) {}

func (*disk) empty(*testing.T) {}
