// Command throughline is the operator's command line: timelines, accounts,
// links, quarantine, topics, migrations, and signed test deliveries. See
// throughline --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/throughline-dev/throughline/services/throughline/cli"
	"github.com/throughline-dev/throughline/services/throughline/dev"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// From the first signal on the next has its default effect: whoever repeats it does not want to wait.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Run(ctx, os.Args[1:], cli.Standard(), cli.Command{
		Name: "dev", Help: "Run everything on this machine, with a demo story (make run).", Target: new(dev.Command), Postgres: true, Kafka: true, Sources: true,
	}))
}
