package measure

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
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
	return float64(settled(func() ([]int, int64) { return processesOf(program) })) / ticks
}

// settled looks until nobody has ended or begun from one look before to one look after. What a process took that ends
// while the files are read is counted twice, or not at all: with its parent, which was read before or after.
func settled(look func() (ids []int, took int64)) int64 {
	var before []int
	of, took := look()
	for range mostLooks {
		after, next := look()
		if slices.Equal(before, of) && slices.Equal(of, after) {
			break
		}
		before, of, took = of, after, next
	}
	return took
}

// mostLooks bounds how often the files are read where processes come and go all the time.
const mostLooks = 50

// processesOf gives the ids of these processes, in order, and the ticks that they have taken.
func processesOf(program string) (ids []int, took int64) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, 0
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
			ids = append(ids, s.pid)
			took += s.took
		}
	}
	slices.Sort(ids)
	return ids, took
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
	took        int64 // ticks of CPU, with those of ended children
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
		s.took += n
	}
	return s, true
}
