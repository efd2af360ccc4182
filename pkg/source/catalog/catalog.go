// Package catalog is the one list of sources. Whoever needs them all (the
// receiver, the normalizer, the command line, the documentation) reads it here.
package catalog

import (
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/hubspot"
	"github.com/throughline-dev/throughline/pkg/source/intercom"
	"github.com/throughline-dev/throughline/pkg/source/looker"
	"github.com/throughline-dev/throughline/pkg/source/marketo"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
	"github.com/throughline-dev/throughline/pkg/source/zendesk"
)

// Sources gives every source, in the order in which people see them.
func Sources() []source.Source {
	return []source.Source{
		stripe.New(),
		hubspot.New(),
		zendesk.New(),
		intercom.New(),
		marketo.New(),
		looker.New(),
	}
}

// Set gives every source as a set.
func Set() source.Set {
	set, _ := source.NewSet(Sources()...) // a test holds their names apart
	return set
}

// Names gives the name of every source.
func Names() []string { return Set().Names() }

// Find gives the source of this name.
func Find(name string) (source.Source, bool) { return Set().Find(name) }

// Kinds gives the kinds of reference of the source of this name, or nil.
func Kinds(name string) []source.Kind { return Set().Kinds(name) }
