// Command quarantine keeps what could not go on, and releases what a link or a person clears.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/quarantine/quarantine"
)

func main() {
	cfg := quarantine.NewConfig(os.Args[1:], os.LookupEnv)
	os.Exit(stage.Main("quarantine", "Keeps events that could not go on, and releases them when a link or a person clears them.", cfg, os.Args[1:], cfg.Build))
}
