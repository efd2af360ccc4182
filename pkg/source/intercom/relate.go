package intercom

import (
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Relater = intercom{}

// Relates implements source.Relater. A conversation or ticket stays its contact's. A
// contact that was merged is named by the one that it became a part of.
func (intercom) Relates(r source.Record, e source.Event) source.Relations {
	var out source.Relations
	for _, ref := range e.References {
		if ref.Kind == kindConversation || ref.Kind == kindTicket {
			out.Owned = append(out.Owned, source.Lead{Reference: ref, By: source.LeadVendor})
		}
	}
	item := r.Object.At("data", "item")
	if e.Type != "contact.merged" {
		return out
	}
	contact := func(v rawjson.Value) source.Reference {
		return source.Reference{Source: name, Tenant: e.Tenant, Kind: kindContact, ID: v.Get("id").Literal()}
	}
	if into, lost := contact(item), contact(item.Get("merged_from")); into.ID != "" && lost.ID != "" {
		out.Merged = []source.Merge{{Lost: lost, Into: into}}
	}
	return out
}
