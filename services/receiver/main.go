// Command receiver takes vendors' webhooks in and puts their events into the
// raw topics. See README.md for its settings.
package main

import (
	"os"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
)

func main() {
	settings := receiver.NewSettings(os.Args[1:], os.LookupEnv)
	os.Exit(service.Main("receiver", "Takes vendors' webhooks in: verified, acknowledged by the brokers, then answered 2xx.", settings, os.Args[1:], settings.Run))
}
