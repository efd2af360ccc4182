// Command learner finds out whose the objects are that waiting events refer to, and links them.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/services/learner/learner"
)

func main() {
	cfg := learner.NewConfig(os.Args[1:], os.LookupEnv)
	os.Exit(service.Main("learner", "Asks the timeline and the vendors' APIs whose the objects are that waiting events refer to, and links them.", cfg, os.Args[1:], cfg.Run))
}
