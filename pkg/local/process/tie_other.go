//go:build !linux

package process

import "os/exec"

// tie does nothing here: only Linux can tie a child's life to ours.
func tie(*exec.Cmd) {}
