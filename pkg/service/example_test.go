package service_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// A service's configuration embeds Common; its main function is one call.
func ExampleMain() {
	var cfg struct {
		settings.Common
		Greeting string `name:"greeting" env:"THROUGHLINE_GREETING" default:"hello" help:"What to say."`
	}
	code := service.Main("greeter", "Says something.", &cfg, []string{"--greeting=good day", "--admin-addr="},
		func(ctx context.Context, rt *service.Runtime) error {
			return rt.Group(service.Component{Name: "greeter", Run: func(context.Context) error {
				fmt.Println(cfg.Greeting)
				return nil
			}}).Run(ctx)
		}, settings.WithEnv(func(string) (string, bool) { return "", false }), settings.WithOutput(os.Stdout, io.Discard))
	fmt.Println(code)
	// Output:
	// good day
	// 0
}

// The reader is upstream of the writer: it starts last and stops first.
func ExampleGroup() {
	say := func(text string) func(context.Context) error {
		return func(context.Context) error { fmt.Println(text); return nil }
	}
	rt := service.NewRuntime(service.Options{Name: "sink"})
	group := rt.Group(
		service.Component{Name: "writer", Start: say("writer opens"), Stop: say("writer flushes and closes")},
		service.Component{Name: "reader", Run: say("reader has read all"), Stop: say("reader stops")},
	)
	fmt.Println(group.Run(context.Background()))
	// Output:
	// writer opens
	// reader has read all
	// reader stops
	// writer flushes and closes
	// <nil>
}
