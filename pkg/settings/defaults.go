package settings

import (
	"fmt"

	"github.com/alecthomas/kong"
)

// Defaults sets every field of a configuration that is zero to the default in
// its kong tag, so that code which makes a configuration itself gets what an
// operator gets who sets nothing. cfg is a pointer to a struct that Parse would
// take. Neither the environment nor a file is read, and nothing is validated.
//
// A zero that is meant cannot be told from one that nobody set: set it after
// Defaults. Defaults panics when a tag is wrong, which every call shows.
func Defaults(cfg any) {
	model, err := kong.New(cfg, kong.NoDefaultHelp(), kong.Exit(func(int) {}))
	if err != nil {
		panic(fmt.Sprintf("settings: the tags of %T: %v", cfg, err))
	}
	for _, flag := range allFlags(model.Model.Node) {
		if !flag.HasDefault || !flag.Target.IsZero() {
			continue
		}
		scan := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: flag.Default})
		if err := flag.Parse(scan, flag.Target); err != nil {
			panic(fmt.Sprintf("settings: the default of --%s: %v", flag.Name, err))
		}
	}
}
