// Command sink writes account-events to the timeline in Postgres.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

func main() {
	cfg := sink.NewConfig(os.Args[1:], os.LookupEnv)
	os.Exit(stage.Main("sink", "Writes account-events to the timeline in Postgres.", cfg, os.Args[1:], cfg.Build))
}
