// Command drift learns what payloads look like, and finds what changes about them.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/drift/drift"
)

func main() {
	cfg := drift.NewConfig(os.Args[1:], os.LookupEnv)
	os.Exit(stage.Main("drift", "Learns what payloads look like, by source and event type, and finds what changes about them.", cfg, os.Args[1:], cfg.Build))
}
