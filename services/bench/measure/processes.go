package measure

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The programs of the servers that this process starts.
const (
	javaProgram     = "java"
	postgresProgram = "postgres"
)

// ticks are a second of /proc/PID/stat: USER_HZ, the same on all of Linux's common architectures.
const ticks = 100

// childrenCPU is what this process's children that run a program, and their
// children in turn, have taken of all cores so far, in seconds: those that live
// and those that their parents have waited for. It is 0 where there is no /proc.
func childrenCPU(program string) (seconds float64) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	processes := map[int]processStat{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if s, ok := parseStat(text); ok {
			processes[s.pid] = s
		}
	}
	for _, s := range processes {
		if s.program == program && descends(processes, s, os.Getpid()) {
			seconds += s.seconds
		}
	}
	return seconds
}

func descends(processes map[int]processStat, s processStat, from int) bool {
	for range processes { // no more steps than there are processes: the files were not read at once
		if s.parent == from {
			return true
		}
		var ok bool
		if s, ok = processes[s.parent]; !ok {
			return false
		}
	}
	return false
}

// processStat is what /proc/PID/stat says of a process; see proc_pid_stat(5).
type processStat struct {
	pid, parent int
	program     string
	seconds     float64 // of CPU, with those of ended children
}

// parseStat reads the file; ok is false when it is not of this form.
func parseStat(text []byte) (s processStat, ok bool) {
	// The program's name may hold anything but is in the outermost parentheses.
	opening, closing := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if opening < 0 || closing < opening {
		return s, false
	}
	fields := strings.Fields(string(text[closing+1:])) // from the third on: state, ppid, …
	if len(fields) < 15 {
		return s, false
	}
	s.program = string(text[opening+1 : closing])
	var err error
	if s.pid, err = strconv.Atoi(strings.TrimSpace(string(text[:opening]))); err != nil {
		return s, false
	}
	if s.parent, err = strconv.Atoi(fields[1]); err != nil {
		return s, false
	}
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return s, false
		}
		s.seconds += float64(n) / ticks
	}
	return s, true
}
