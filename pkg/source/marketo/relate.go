package marketo

import (
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Relater = marketo{}

// Relates implements source.Relater. Activity 32 is on the lead that is left, and lists
// those that it took in: "Merge IDs": "[901, 902]".
// Source: Marketo's developer guide, activity types; leads, "Merge Leads" (at most 25).
func (marketo) Relates(r source.Record, e source.Event) source.Relations {
	if r.Object.Get("activityTypeId").Literal() != "32" {
		return source.Relations{}
	}
	into := source.Reference{Source: name, Tenant: e.Tenant, Kind: kindLead, ID: r.Object.Get("leadId").Literal()}
	attributes := attributesOf(r.Object)
	list := attributes.Get("Merge IDs").Literal()
	for _, a := range attributes.Elements() {
		if a.Get("name").Is("Merge IDs") {
			list = a.Get("value").Literal()
		}
	}
	var out source.Relations
	for _, id := range strings.FieldsFunc(list, func(c rune) bool { return c < '0' || c > '9' }) {
		if id != into.ID && into.ID != "" && len(out.Merged) < source.MaxReferences {
			lost := into
			lost.ID = id
			out.Merged = append(out.Merged, source.Merge{Lost: lost, Into: into})
		}
	}
	return out
}
