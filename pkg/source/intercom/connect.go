package intercom

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Subscriber = intercom{}

// Steps implements source.Connector. Intercom has no API for an app's webhooks.
func (intercom) Steps(address string) []source.Step {
	return []source.Step{
		{Text: "Developer Hub (app.intercom.com/a/apps/_/developer-hub) → your app, or New app → Configure → Webhooks: enter this address. Intercom checks it with a HEAD request, which the receiver answers, so that must be running.", Paste: address},
		{Text: "Choose these topics there. Leave out admin.*, article.* and job.*: they carry no customer.", Paste: topics},
		{Text: "Configure → Basic information: give the client secret to the receiver, THROUGHLINE_INTERCOM_SECRETS."},
		{Text: "For the past and for whose objects are: Configure → Authentication → Access token is THROUGHLINE_INTERCOM_API_KEY. A workspace in Europe has THROUGHLINE_INTERCOM_API_URL=https://api.eu.intercom.io, one in Australia https://api.au.intercom.io."},
	}
}

// topics are those that the timeline is made of.
const topics = `conversation.user.created
conversation.user.replied
conversation.admin.single.created
conversation.admin.replied
conversation.admin.noted
conversation.admin.closed
conversation.rating.added
contact.user.created
contact.lead.created
contact.lead.signed_up
contact.merged
contact.deleted
company.created
ticket.created
ticket.contact.replied
ticket.admin.replied
ticket.state.updated
content_stat.email`

// Look implements source.Subscriber: that the token is good, and of which workspace.
func (intercom) Look(ctx context.Context, api source.Doer, _ string) (source.Subscriptions, error) {
	me, err := ask(ctx, api, http.MethodGet, "/me", nil)
	if err != nil {
		return source.Subscriptions{}, fmt.Errorf("asking for the workspace: %w", err)
	}
	app, region := me.top.At("app", "id_code").Text(), me.top.At("app", "region").Text()
	if app == "" {
		return source.Subscriptions{}, lie(errors.New("the answer does not name the key's workspace (app.id_code)"))
	}
	if region == "" {
		region = "not said"
	}
	return source.Subscriptions{Notes: []string{
		fmt.Sprintf("The access token is good, and of the workspace %s (region %s).", app, region),
		"Intercom's API shows neither an app's webhooks nor its topics: look at Developer Hub → your app → Configure → Webhooks (connect --steps lists the topics).",
	}}, nil
}

// Change implements source.Subscriber: there is none that Look names.
func (intercom) Change(context.Context, source.Doer, string, source.SubscriptionChange) (string, error) {
	return "", fault.Permanent(fault.Unsupported, errors.New("Intercom's API does not change webhooks"))
}
