// Command console serves the HTTP API and the pages for people: timelines, the quarantine, links, and what is wrong.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/services/console/console"
)

func main() {
	cfg := console.NewConfig(os.Args[1:], os.LookupEnv)
	os.Exit(service.Main("console", "Serves the HTTP API and the console: timelines, the quarantine, links, and what is wrong.", cfg, os.Args[1:], cfg.Run))
}
