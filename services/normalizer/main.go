// Command normalizer turns the vendors' raw events into account-events: each is
// described, resolved to one account, and written in a transaction.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
)

func main() {
	cfg := normalizer.NewConfig(os.Args[1:], os.LookupEnv)
	os.Exit(stage.Main("normalizer", "Resolves raw events to accounts and writes account-events, exactly once.", cfg, os.Args[1:], cfg.Build))
}
