package zendesk

import (
	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Relater = zendesk{}

// Relates implements source.Relater. A ticket is of the organization that its event
// names, until one tells that it has another. A user that was merged is the event's
// subject where the event names another user, into whom it went (not confirmed: the
// reference shows no example); where it does not, nothing is said.
func (zendesk) Relates(r source.Record, e source.Event) source.Relations {
	m, err := read(r)
	if err != nil {
		return source.Relations{}
	}
	var out source.Relations
	if m.vendor != ticketOrganizationChanged {
		for _, ref := range e.References {
			if ref.Kind == kindTicket {
				out.Owned = append(out.Owned, source.Lead{Reference: ref, By: source.LeadVendor})
			}
		}
	}
	if m.vendor != "user.merged" {
		return out
	}
	user := func(id string) source.Reference {
		return source.Reference{Source: name, Tenant: m.account, Kind: kindUser, ID: id}
	}
	if into := text(m.event.At("user", "id")); into != "" && m.object != "" && into != m.object {
		out.Merged = []source.Merge{{Lost: user(m.object), Into: user(into)}}
	}
	return out
}
