package settings_test

import (
	"fmt"

	"github.com/alecthomas/kong"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// The list of sources decides which flags, variables and YAML keys there are.
func ExampleSourceSettings() {
	sources := settings.NewSourceSettings([]string{"stripe", "hubspot"})
	var cfg struct {
		Sources kong.Plugins `embed:""`
	}
	cfg.Sources = sources.Plugins()
	environment := map[string]string{"THROUGHLINE_STRIPE_SECRETS": "whsec_new,whsec_old"}
	_, err := settings.Parse([]string{"--stripe-tenant=acct_1"}, &cfg, settings.WithEnv(func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	}))
	stripe := sources.Get("stripe")
	fmt.Println(err, len(stripe.Secrets), stripe.Secrets, stripe.Tenant)
	// Output: <nil> 2 [hidden] acct_1
}
