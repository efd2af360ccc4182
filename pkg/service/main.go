package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// lastGrace is what Main waits for run beyond its stop timeout, and for the
// admin server and the last traces.
const lastGrace = 3 * time.Second

// Main is the whole of a service's main function: it reads the configuration
// into cfg, sets the memory limit, opens the Runtime and its admin server, calls run, and gives the
// exit code. The first SIGINT or SIGTERM ends run's context; run should then
// stop in order (see Group) and return. A second one kills the process, because
// whoever repeats it does not want to wait. Main itself gives up a little after
// the shutdown timeout. SIGHUP ends nothing: it calls what Runtime.OnReload was given.
//
//	func main() { os.Exit(service.Main("sink", "Writes events to Postgres.", &cfg, os.Args[1:], run)) }
func Main(name, summary string, cfg settings.Config, args []string, run func(context.Context, *Runtime) error, opts ...settings.Option) int {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	// From the first signal on, the next has its default effect.
	defer context.AfterFunc(ctx, restore)()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	return mainWith(ctx, hangup, name, summary, cfg, args, run, opts...)
}

// mainWith is Main without signals.
func mainWith(ctx context.Context, hangup <-chan os.Signal, name, summary string, cfg settings.Config, args []string, run func(context.Context, *Runtime) error, opts ...settings.Option) int {
	errs := settings.ErrorOutput(opts...)
	var strays []string
	own := []settings.Option{settings.WithName(name, summary), settings.WithStrays(func(text string) { strays = append(strays, text) })}
	if _, err := settings.Parse(args, cfg, append(own, opts...)...); err != nil {
		if !errors.Is(err, settings.ErrDone) {
			fmt.Fprintln(errs, err)
		}
		return settings.ExitCode(err)
	}
	common := cfg.Process()
	rt, err := OpenRuntime(ctx, name, common, errs)
	if err != nil {
		fmt.Fprintln(errs, name+": "+err.Error())
		return settings.ExitFailure
	}
	for _, text := range strays {
		rt.Log.Warn("a variable of the environment is not read", zap.String("problem", text))
	}
	rt.Log.Info("starting", zap.Stringer("memory_limit", settings.Bytes(LimitMemory(common.MemoryLimit))))
	stopReloads := rt.reloadOn(hangup)
	err = serve(ctx, rt, common, run)
	stopReloads()
	var config *settings.ConfigError
	switch {
	case err == nil:
		rt.Log.Info("stopped")
	case errors.As(err, &config): // as of the settings, a problem is a line
		for _, problem := range config.Problems {
			rt.Log.Error("stopped by what it was given", zap.String("problem", problem))
		}
	default:
		rt.Log.Error("stopped by a failure", zap.Error(err))
	}
	return settings.ExitCode(err)
}

func serve(ctx context.Context, rt *Runtime, c *settings.Common, run func(context.Context, *Runtime) error) (err error) {
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), lastGrace)
		defer cancel()
		if closeErr := rt.Close(closing); closeErr != nil {
			rt.Log.Warn("flushing telemetry", zap.Error(closeErr)) // lost spans are no failure of the service
		}
	}()
	if c.AdminAddr != "" {
		admin := NewAdmin(rt, c.AdminAddr, c.Pprof)
		if err := admin.Start(ctx); err != nil {
			return err
		}
		defer func() {
			stopping, cancel := context.WithTimeout(context.Background(), lastGrace)
			defer cancel()
			err = errors.Join(err, admin.Stop(stopping))
		}()
		rt.Log.Info("started", zap.String("admin", admin.Addr()))
	}
	return runBounded(ctx, rt, run)
}

// runBounded calls run and, once ctx has ended, waits for it no longer than the
// stop may take.
func runBounded(ctx context.Context, rt *Runtime, run func(context.Context, *Runtime) error) error {
	result := make(chan error, 1)
	go func() { result <- run(ctx, rt) }()
	select {
	case err := <-result:
		return ended(ctx, err)
	case <-ctx.Done():
	}
	rt.Log.Info("stopping", zap.Duration("bound", rt.StopTimeout))
	late := time.NewTimer(rt.StopTimeout + lastGrace)
	defer late.Stop()
	select {
	case err := <-result:
		return ended(ctx, err)
	case <-late.C:
		return fmt.Errorf("the service did not stop within %v", rt.StopTimeout+lastGrace)
	}
}

// ended takes the error of a context that was told to end as what it is: the
// end. Joined with another error it stays: errors.Unwrap does not enter a join.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if inner == context.Canceled { //nolint:errorlint // errors.Is would enter a join
			return nil
		}
	}
	return err
}
