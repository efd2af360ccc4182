package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// orphanVariable turns this test binary into a program that starts a child and
// waits to be killed.
const orphanVariable = "THROUGHLINE_TEST_STARTS_A_CHILD"

func startChildAndWait() int {
	child := exec.Command("sleep", "600")
	child.Stdout = os.Stdout // held open for as long as the child lives
	if _, err := Start(child); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("started")
	select {}
}

func TestMain(m *testing.M) {
	if os.Getenv(orphanVariable) != "" {
		os.Exit(startChildAndWait())
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(exec.Command("sh", "-c", script))
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	return p
}

func TestRun(t *testing.T) {
	t.Parallel()
	out, err := Run(exec.Command("sh", "-c", "echo said; echo complained >&2; exit 3"))
	require.ErrorContains(t, err, "exit status 3")
	require.Equal(t, "said\ncomplained\n", string(out))
	_, err = Run(exec.Command(filepath.Join(t.TempDir(), "missing")))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestStop(t *testing.T) {
	t.Parallel()
	p := start(t, "exec sleep 600")
	require.True(t, p.Running())
	require.NoError(t, p.Stop(t.Context(), syscall.SIGTERM))
	require.False(t, p.Running())
	require.ErrorContains(t, p.Err(), "terminated")
	require.NoError(t, p.Stop(t.Context(), syscall.SIGTERM), "a second time")

	deaf := start(t, "trap '' TERM; echo; exec sleep 600")
	now, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, deaf.Stop(now, syscall.SIGCONT), context.Canceled)
	require.False(t, deaf.Running())
}

func TestAwait(t *testing.T) {
	t.Parallel()
	notYet := errors.New("not yet")
	p := start(t, "exec sleep 600")
	asked := 0
	require.NoError(t, p.Await(t.Context(), func(context.Context) error {
		if asked++; asked < 3 {
			return notYet
		}
		return nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := p.Await(ctx, func(context.Context) error { return notYet })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, notYet)

	ended := start(t, "exit 3")
	err = ended.Await(t.Context(), func(context.Context) error { return notYet })
	require.ErrorIs(t, err, ErrEnded)
	require.ErrorContains(t, err, "exit status 3")
}

func TestLastLines(t *testing.T) {
	t.Parallel()
	require.Equal(t, "b\nc", LastLines([]byte("a\nb\nc\n\n"), 2))
	require.Equal(t, "a", LastLines([]byte("a"), 2))
	require.Empty(t, LastLines(nil, 2))
}

func TestFreePorts(t *testing.T) {
	t.Parallel()
	ports, err := FreePorts(6)
	require.NoError(t, err)
	seen := map[int]bool{}
	for _, port := range ports {
		require.False(t, seen[port])
		require.True(t, port >= lowestPort && port <= highestPort, port) // free it was; others may have taken it since
		seen[port] = true
	}
	require.Len(t, seen, 6)
}

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "file")
	for _, content := range []string{"old", "new"} {
		require.NoError(t, ReplaceFile(path, []byte(content), 0o600))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1)
}
