// Command puller asks the vendors' APIs for events that no webhook brings, and every night whether any is missing.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/puller/puller"
)

func main() {
	cfg := puller.NewConfig(os.Args[1:], os.LookupEnv)
	os.Exit(stage.Main("puller", "Polls the vendors' APIs for events that no webhook brings, and compares what they have with what is here.", cfg, os.Args[1:], cfg.Build))
}
