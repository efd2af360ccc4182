package stripe

import (
	"slices"

	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Relater = stripe{}

// Relates implements source.Relater. Stripe makes the ids of these objects, and each
// is one customer's for as long as it exists.
func (stripe) Relates(_ source.Record, e source.Event) source.Relations {
	var r source.Relations
	for _, ref := range e.References {
		if isOwned(ref.Kind) {
			r.Owned = append(r.Owned, source.Lead{Reference: ref, By: source.LeadDeclared})
		}
	}
	return r
}

// isOwned: not what is the merchant's, or an account's, and not a payment link,
// through which anybody may pay.
func isOwned(kind string) bool {
	return slices.Contains(first[1:], kind) || slices.Contains(customers, kind) && kind != "payment_link"
}
