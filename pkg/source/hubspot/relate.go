package hubspot

import (
	"slices"

	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Relater = hubspot{}

// Relates implements source.Relater. A deal, ticket or conversation is of the customer
// whose events name it, as HubSpot, or somebody in it, has associated it; an
// association that was removed says nothing. A merge keeps the primary record's
// properties and associations; since 2025 what comes of it has an id of its own.
// Source: developers.hubspot.com, webhooks, "contact.merge"; knowledge base, "Merge records".
func (hubspot) Relates(r source.Record, e source.Event) source.Relations {
	n := readNotice(r.Object)
	n.canonicalise()
	var out source.Relations
	if !n.removed && (n.action == actionAssociation || n.action == "creation") {
		for _, ref := range e.References {
			switch ref.Kind {
			case thingDeal, thingTicket, thingConversation:
				out.Owned = append(out.Owned, source.Lead{Reference: ref, By: source.LeadVendor})
			}
		}
	}
	if n.action != actionMerge || n.thing != thingContact && n.thing != thingCompany || n.mergePrimary == "" {
		return out
	}
	reference := func(id string) source.Reference {
		return source.Reference{Source: name, Tenant: n.portal, Kind: n.thing, ID: id}
	}
	for _, id := range append(slices.Clone(n.merged), n.mergeNew) {
		if id != "" && id != n.mergePrimary {
			out.Merged = append(out.Merged, source.Merge{Lost: reference(id), Into: reference(n.mergePrimary)})
		}
	}
	return out
}
