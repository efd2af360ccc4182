package intercom

import (
	"net/http"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const name = "intercom"

// The kinds of reference of Intercom's events.
const (
	// kindCompany: a company's company_id, which the customer's own system gave
	// it, and its id, which Intercom gave it. Contacts carry only the latter.
	kindCompany = "company"
	kindContact = "contact"
	// kindExternal is the id that the customer's own system gave a contact.
	kindExternal     = "external"
	kindConversation = "conversation"
	kindTicket       = "ticket"
)

type intercom struct{}

var (
	_ source.Signer     = intercom{}
	_ source.Handshaker = intercom{}
	_ source.Lister     = intercom{}
	_ source.Typer      = intercom{}
)

// New gives the source. It has no state and any number may exist.
func New() source.Webhook { return intercom{} }

// Name is "intercom".
func (intercom) Name() string { return name }

// Profile bounds a delivery to one notification of a MiB.
func (intercom) Profile() source.Profile {
	return source.Profile{
		Title:  "Intercom",
		Limits: source.Limits{BodyBytes: source.MaxRecordBytes, Events: 1},
		Kinds: []source.Kind{
			{Name: kindCompany, Scoped: true}, {Name: kindContact, Scoped: true}, {Name: kindExternal, Scoped: true}, {Name: kindConversation, Scoped: true}, {Name: kindTicket, Scoped: true},
		},
		Types:    types(),
		Volatile: []string{"/delivery_status", "/delivery_attempts", "/delivered_at", "/first_sent_at"},
	}
}

// Form implements source.Former: apps of one workspace are each notified of a
// fact, by notifications of their own, with the object as their API version
// writes it: times as numbers or as texts. An object of the API has no topic. A
// notification that was made of the API has an object as it was when it was asked for.
func (intercom) Form(n rawjson.Value) source.Form {
	if n.Get("api").Exists() {
		return source.Form{Name: n.Get("topic").Text() + " of the API", Ignored: []string{"/data/item"}}
	}
	return source.Form{
		Name:    n.Get("topic").Text() + " " + n.At("data", "item", "created_at").Kind().String(),
		Ignored: []string{"/id", "/created_at", "/links", "/self", "/data/item/updated_at", "/updated_at"},
	}
}

// Handshake answers the HEAD with which Intercom checks an address before it
// saves it. Source: developers.intercom.com/docs/webhooks/setting-up-webhooks.
func (intercom) Handshake(r *http.Request) (source.Response, bool) {
	if r.Method != http.MethodHead {
		return source.Response{}, false
	}
	return source.Response{Status: http.StatusOK}, true
}

// Reply asks for a retry with 429, the one status after which Intercom keeps
// notifications for longer than a minute (up to two hours).
func (intercom) Reply(_ *source.Delivery, outcome error) source.Response {
	resp := source.DefaultReply(outcome)
	if outcome != nil && !fault.IsPermanent(outcome) {
		resp.Status = http.StatusTooManyRequests
	}
	return resp
}
