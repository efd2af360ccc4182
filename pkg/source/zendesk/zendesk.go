package zendesk

import (
	"net/http"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const name = "zendesk"

// The kinds of reference of Zendesk's events. An organization and a user are
// the customer; a ticket is linked only when it has neither.
const (
	kindOrganization = "organization"
	kindUser         = "user"
	kindTicket       = "ticket"
	// kindOrganizationExternal is the id that the customer's own system gave an
	// organization; a trigger's placeholders know no other.
	kindOrganizationExternal = "organization_external"
)

// signatureWindow bounds a signature's age. Zendesk documents no tolerance and
// not whether a retry is signed anew, so it is well above the longest series of
// retries (five timeouts and waits under a minute each). Within it a replay is
// stopped by the event's identity, as every duplicate is.
const signatureWindow = time.Hour

// retryAfter is in seconds: Zendesk waits for it only when it is under a minute.
const retryAfter = "30"

type zendesk struct{}

var (
	_ source.Signer = zendesk{}
	_ source.Lister = zendesk{}
	_ source.Pager  = zendesk{}
	_ source.Typer  = zendesk{}
)

// New gives the source. It has no state and any number may exist.
func New() source.Webhook { return zendesk{} }

// Name is "zendesk".
func (zendesk) Name() string { return name }

// Profile bounds a delivery to one event of a MiB: Zendesk sends one a request.
func (zendesk) Profile() source.Profile {
	return source.Profile{
		Title:  "Zendesk",
		Limits: source.Limits{BodyBytes: source.MaxRecordBytes, Events: 1},
		Kinds: []source.Kind{
			{Name: kindOrganization, Scoped: true}, {Name: kindUser, Scoped: true}, {Name: kindTicket, Scoped: true}, {Name: kindOrganizationExternal, Scoped: true},
		},
		Types:           types(),
		SignatureWindow: signatureWindow,
	}
}

// Form implements source.Former: Zendesk's own events name their version, a
// trigger's template and a backfill do not. A retry may have another id. A backfill,
// which has none, tells of a ticket as it is by now.
func (zendesk) Form(e rawjson.Value) source.Form {
	form := source.Form{Name: e.Get("zendesk_event_version").Text(), Ignored: []string{"/id"}}
	if form.Name == "" && !e.Get("id").Exists() {
		form.Ignored = append(form.Ignored, "/detail", "/event")
	}
	return form
}

// Reply asks for a retry with 503 and a Retry-After: 409 is retried three times
// at once, which no outage outlasts, and its wording promises a conflict. A
// refusal is never 409, 429 or 503, or Zendesk would send it again.
func (zendesk) Reply(_ *source.Delivery, outcome error) source.Response {
	resp := source.DefaultReply(outcome)
	switch {
	case outcome != nil && !fault.IsPermanent(outcome):
		resp.Status = http.StatusServiceUnavailable
		resp.Header = http.Header{"Retry-After": {retryAfter}}
	case resp.Status == http.StatusConflict:
		resp.Status = http.StatusBadRequest
	}
	return resp
}
