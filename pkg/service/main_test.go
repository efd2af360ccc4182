package service_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// childVariable makes the test binary a service, for the tests of signals.
const childVariable = "SERVICE_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childVariable); mode != "" {
		os.Exit(child(mode))
	}
	goleak.VerifyTestMain(m)
}

// child stops when told, reloads when told, counts the times in an error, or, as "stubborn", does not.
func child(mode string) int {
	var cfg struct{ settings.Common }
	args := []string{"--admin-addr=127.0.0.1:0"}
	return service.Main("child", "A service.", &cfg, args, func(ctx context.Context, rt *service.Runtime) error {
		if mode == "reloading" {
			times := 0
			rt.OnReload(func() error {
				if times++; times%2 == 0 {
					return errors.New("the new file is empty")
				}
				return nil
			})
		}
		rt.Log.Info("running")
		<-ctx.Done()
		if mode == "stubborn" {
			rt.Log.Info("ignoring")
			select {}
		}
		return ctx.Err()
	})
}

// start runs the child and waits for its line.
func start(t *testing.T, mode string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+mode)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stderr)
	waitFor(t, lines, `"running"`)
	return cmd, lines
}

func waitFor(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	require.Fail(t, "the child ended before it said "+text)
}

func TestASignalStopsInOrder(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			cmd, lines := start(t, "obedient")
			require.NoError(t, cmd.Process.Signal(sig))
			waitFor(t, lines, `"stopped"`)
			require.NoError(t, cmd.Wait())
		})
	}
}

func TestSIGHUPReloadsAndEndsNothing(t *testing.T) {
	t.Parallel()
	for mode, says := range map[string][]string{
		"obedient":  {"reads nothing again", "reads nothing again"},
		"reloading": {`"reloaded"`, "the new file is empty", `"reloaded"`},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			cmd, lines := start(t, mode)
			for _, text := range says {
				require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
				waitFor(t, lines, text)
			}
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			waitFor(t, lines, `"stopped"`)
			require.NoError(t, cmd.Wait())
		})
	}
}

func TestASecondSignalKills(t *testing.T) {
	t.Parallel()
	cmd, lines := start(t, "stubborn")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	waitFor(t, lines, `"ignoring"`)
	// The default effect is restored by a goroutine that the first signal wakes.
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	require.Eventually(t, func() bool {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return len(gone) == 1
	}, 10*time.Second, 10*time.Millisecond)
	var exit *exec.ExitError
	require.ErrorAs(t, <-gone, &exit)
	require.Equal(t, syscall.SIGTERM, exit.Sys().(syscall.WaitStatus).Signal())
}

func TestMainGivesTheExitCode(t *testing.T) {
	t.Parallel()
	run := func(ctx context.Context, env map[string]string, args []string, f func(context.Context, *service.Runtime) error) (int, string, string) {
		var cfg struct{ settings.Common }
		var out, errs bytes.Buffer
		code := service.MainWith(ctx, "sink", "Writes.", &cfg, append(args, "--admin-addr=127.0.0.1:0"), f,
			settings.WithOutput(&out, &errs), settings.WithEnv(lookup(env)))
		return code, out.String(), errs.String()
	}
	never := func(context.Context, *service.Runtime) error { return errors.New("it should not run") }
	t.Run("ok", func(t *testing.T) {
		t.Parallel()
		code, _, errs := run(t.Context(), nil, nil, func(context.Context, *service.Runtime) error { return nil })
		require.Equal(t, settings.ExitOK, code)
		require.Contains(t, errs, `"msg":"stopped"`)
	})
	t.Run("failure", func(t *testing.T) {
		t.Parallel()
		code, _, errs := run(t.Context(), nil, nil, func(context.Context, *service.Runtime) error { return errors.New("no disk") })
		require.Equal(t, settings.ExitFailure, code)
		require.Equal(t, 1, strings.Count(errs, "no disk"))
	})
	t.Run("a file that is wrong", func(t *testing.T) {
		t.Parallel()
		code, _, errs := run(t.Context(), nil, nil, func(context.Context, *service.Runtime) error {
			return fmt.Errorf("starting: %w", &settings.ConfigError{Problems: []string{"rules.yaml: line 1: a", "rules.yaml: line 2: b"}})
		})
		require.Equal(t, settings.ExitConfig, code)
		require.Contains(t, errs, `"problem":"rules.yaml: line 1: a"`)
		require.Contains(t, errs, `"problem":"rules.yaml: line 2: b"`)
		require.Equal(t, 2, strings.Count(errs, `"level":"error"`))
	})
	t.Run("configuration", func(t *testing.T) {
		t.Parallel()
		code, _, errs := run(t.Context(), map[string]string{"THROUGHLINE_LOG_LEVEL": "loud"}, nil, never)
		require.Equal(t, settings.ExitConfig, code)
		require.Equal(t, "--log-level (THROUGHLINE_LOG_LEVEL) must be one of debug, info, warn, error, but is \"loud\"\n", errs)
	})
	t.Run("validate", func(t *testing.T) {
		t.Parallel()
		code, out, _ := run(t.Context(), nil, []string{"--validate"}, never)
		require.Equal(t, settings.ExitOK, code)
		require.Contains(t, out, "valid")
	})
	t.Run("cancelled is the normal end", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		code, _, _ := run(ctx, nil, nil, func(ctx context.Context, _ *service.Runtime) error { cancel(); <-ctx.Done(); return ctx.Err() })
		require.Equal(t, settings.ExitOK, code)
	})
	t.Run("cancelled and failed is a failure", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		code, _, errs := run(ctx, nil, nil, func(ctx context.Context, _ *service.Runtime) error {
			cancel()
			return errors.Join(ctx.Err(), errors.New("not flushed"))
		})
		require.Equal(t, settings.ExitFailure, code)
		require.Contains(t, errs, "not flushed")
	})
	t.Run("a taken admin port", func(t *testing.T) {
		t.Parallel()
		rt := service.NewRuntime(service.Options{Name: "other"})
		other := service.NewAdmin(rt, "127.0.0.1:0", false)
		require.NoError(t, other.Start(t.Context()))
		defer func() { require.NoError(t, other.Stop(context.Background())) }()
		var cfg struct{ settings.Common }
		var errs bytes.Buffer
		code := service.MainWith(t.Context(), "sink", "", &cfg, []string{"--admin-addr", other.Addr()}, never,
			settings.WithOutput(&errs, &errs), settings.WithEnv(lookup(nil)))
		require.Equal(t, settings.ExitFailure, code)
		require.Contains(t, errs.String(), "is taken by another process: set --admin-addr (THROUGHLINE_ADMIN_ADDR)")
	})
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}
