package stripe

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// apiTypes has the types of stripe-node 23.1.0, one a line, with the object that each is of.
//
//go:embed testdata/openapi/types.txt
var apiTypes string

var knownTypes = sync.OnceValue(func() (known []string) {
	for line := range strings.Lines(apiTypes) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		known = append(known, name)
	}
	for _, t := range types() {
		known = append(known, t.Vendor)
	}
	return known
})

// CheckTypes is source.TypeChecker's. Stripe itself answers a type that it does not have with no events.
func (stripe) CheckTypes(_ string, types []string) error {
	for _, t := range types {
		if slices.Contains(knownTypes(), t) {
			continue
		}
		if near := settings.Nearest(t, knownTypes()); near != "" {
			return fmt.Errorf("types: Stripe has no event type %q: did you mean %q?", t, near)
		}
		return fmt.Errorf("types: Stripe has no event type %q: they are like invoice.paid", t)
	}
	return nil
}
