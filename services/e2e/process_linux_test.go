package e2e

import (
	"os/exec"
	"syscall"
)

// tie makes the kernel kill the child when we die, and keeps a Ctrl-C in our
// terminal from reaching it.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
