package marketo

import (
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const name = "marketo"

// The kinds of reference that are Marketo's own.
const (
	kindLead    = "lead"    // leadId
	kindCompany = "company" // externalCompanyId
)

// marketo has no state: all that it knows is in its methods.
type marketo struct{}

var (
	_ source.Signer = marketo{}
	_ source.Lister = marketo{}
)

// New gives the source.
func New() source.Webhook { return marketo{} }

// Name gives "marketo".
func (marketo) Name() string { return name }

// Profile bounds a delivery: a page of the activities API has at most 300
// elements; the limits leave room for whoever joins a few.
func (marketo) Profile() source.Profile {
	return source.Profile{
		Title:        "Marketo",
		Limits:       source.Limits{BodyBytes: 8 << 20, Events: 1000},
		Kinds:        []source.Kind{{Name: kindLead, Scoped: true}, {Name: kindCompany, Scoped: true}},
		Types:        eventTypes(),
		NeverRetries: true,
	}
}

// Form implements source.Former: the REST API and a bulk export write one activity
// in two ways.
func (marketo) Form(b rawjson.Value) source.Form {
	form := "call"
	if b.Get("activityTypeId").Exists() {
		form = "activity with attributes as " + b.Get("attributes").Kind().String()
	}
	if b.Get("fields").Exists() {
		form += " and fields" // leadchanges.json
	}
	if b.Get("id").Exists() {
		return source.Form{Name: form + " and id"}
	}
	// An export has none. Where the REST API has none any more, what an export says is
	// the same in another order.
	return source.Form{Name: form, Ignored: []string{"/attributes"}}
}

// Reply is the usual one: its body is never empty, which Marketo would count as
// error 1001.
func (marketo) Reply(_ *source.Delivery, outcome error) source.Response {
	return source.DefaultReply(outcome)
}
