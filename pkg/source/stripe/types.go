package stripe

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

// apiTypes has the types of stripe-node 23.1.0, one a line, with the object that each is of.
//
//go:embed types.txt
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

// typeNames has the event_type of each of Stripe's types.
var typeNames = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	for _, vendor := range knownTypes() {
		names[vendor] = typeName(vendor)
	}
	return names
})

// CheckType is source.TypeChecker's. Stripe itself answers a type that it does not have with no events.
func (stripe) CheckType(_, eventType string) error {
	if slices.Contains(knownTypes(), eventType) {
		return nil
	}
	return &source.UnknownTypeError{Vendor: "Stripe", Type: eventType, Near: settings.Nearest(eventType, knownTypes())}
}
