// Command bench measures each stage beside the limit of the same work. See
// README.md for how to read what it prints.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/services/bench/measure"
	"github.com/throughline-dev/throughline/services/bench/stage"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == stage.Argument {
		os.Exit(stage.Main(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// From the first signal on, the next has its default effect.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx))
}

func run(ctx context.Context) int {
	var cmd measure.Command
	_, err := settings.Parse(os.Args[1:], &cmd, settings.WithName("bench", "Measures each stage beside the limit of the same work, in one run."))
	if err == nil {
		err = cmd.Run(ctx, os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, settings.ErrDone) {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
	}
	return settings.ExitCode(err)
}
