// Command alerter looks how everything is, and tells people what is wrong.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/services/alerter/alerter"
)

func main() {
	cfg := new(alerter.Config)
	os.Exit(service.Main("alerter", "Looks every minute how everything is, and tells people what is wrong.", cfg, os.Args[1:], cfg.Run))
}
