package kafka

import (
	"os/exec"
	"syscall"
)

// tie makes the kernel kill the child when we die, and keeps a Ctrl-C in our
// terminal from reaching it before we stop it in order.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
