package spool

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// childTest names the test that this process is to run alone.
const childTest = "SPOOL_TEST_CHILD_TEST"

// alone gives true in a process of the test's own, in which it may make calls
// fail for good; the test itself waits for that process and gets false.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childTest) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childTest+"="+t.Name())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
	return false
}

// refuse makes the kernel answer calls of this process that filter picks
// (a program of classic BPF over struct seccomp_data, see seccomp(2)).
func refuse(t *testing.T, filter ...unix.SockFilter) {
	t.Helper()
	require.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	require.Zero(t, errno)
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(test uint16, value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: value, Jt: yes, Jf: no}
}

func answer(what uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what}
}

const (
	number = 0           // offset of the call's number
	fourth = 16 + 3*8    // of the low half of its fourth argument, which is pwrite's offset
	room   = 3 * 1 << 20 // of the full disk
)

// Append's nil means that fsync succeeded, for each of those who shared it.
func TestNothingIsAcceptedUnlessItIsSynced(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	core, lines := observer.New(zap.InfoLevel)
	s, err := Open(Options{Dir: t.TempDir(), MaxBytes: 1 << 30, Log: zap.New(core)})
	require.NoError(t, err)
	require.NoError(t, s.Append(delivery("0")))
	refuse(t, load(number), jump(unix.BPF_JEQ, unix.SYS_FDATASYNC, 0, 1),
		answer(unix.SECCOMP_RET_ERRNO|uint32(unix.EIO)), answer(unix.SECCOMP_RET_ALLOW))
	var all sync.WaitGroup
	errs := make([]error, 200)
	for i := range errs {
		all.Go(func() { errs[i] = s.Append(delivery(fmt.Sprint(i))) })
	}
	all.Wait()
	for _, err := range errs {
		require.ErrorIs(t, err, unix.EIO)
		require.False(t, fault.IsPermanent(err))
		require.Equal(t, fault.Unavailable, fault.ReasonOf(err))
	}
	require.EqualValues(t, 1, s.Deliveries())
	require.Equal(t, 1, lines.Len())
}

// A disk that is full says so, once, and takes deliveries again when there is room.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	core, lines := observer.New(zap.InfoLevel)
	b := &brokers{down: true}
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, MaxBytes: 1 << 30, Publish: b.publish, PublishTimeout: time.Second, Log: zap.New(core)})
	require.NoError(t, err)
	refuse(t, load(number), jump(unix.BPF_JEQ, unix.SYS_PWRITE64, 0, 3), load(fourth), jump(unix.BPF_JGE, room, 0, 1),
		answer(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSPC)), answer(unix.SECCOMP_RET_ALLOW))
	accepted := 0
	value := func() string { return fmt.Sprint(accepted) + strings.Repeat("x", 10_000) }
	for err == nil && accepted < room/1000 {
		if err = s.Append(delivery(value())); err == nil {
			accepted++
		}
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.ErrorContains(t, err, "the disk is full")
	require.False(t, fault.IsPermanent(err))
	require.Greater(t, accepted, room/20_000)
	for range 100 {
		require.Error(t, s.Append(delivery(value())))
	}
	require.Equal(t, 1, lines.Len(), "one line, not one for each delivery")
	require.Contains(t, lines.All()[0].ContextMap()["error"], "the disk is full")
	require.Equal(t, "make room on the disk of "+dir, lines.All()[0].ContextMap()["advice"])

	require.ErrorContains(t, s.Ready(), "the disk is full")
	require.Equal(t, "make room on the disk of "+dir, fault.Advice(s.Ready()))

	// The disk stays as full as it is: what is drained makes room.
	b.set(func(b *brokers) { b.down = false })
	stop := run(t, s)
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	require.NoError(t, s.Append(delivery(value())))
	require.Equal(t, "the spool accepts deliveries again", lines.All()[1].Message)
	require.NoError(t, s.Ready())
	require.Eventually(t, func() bool { return !s.Engaged() }, patience, time.Millisecond)
	stop()
	require.Len(t, b.values(), accepted+1, "what was accepted, once each")
	for i, v := range b.values() {
		require.Equal(t, fmt.Sprint(i), strings.TrimRight(v, "x"))
	}
	require.NoError(t, s.Close())
}
