package stage

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// peakBytes is the most memory that this process has had resident (VmHWM), or 0
// where there is no /proc.
func peakBytes() int64 { return status("VmHWM:") }

// residentBytes is what it has resident now (VmRSS), or 0.
func residentBytes() int64 { return status("VmRSS:") }

// status reads a line of the process's state.
func status(name string) int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			if err == nil {
				return kilobytes << 10
			}
		}
	}
	return 0
}

// CPUSeconds is what this process has taken of all cores so far. On a machine
// that does other work it says more than the clock.
func CPUSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
