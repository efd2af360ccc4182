package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of subscriptions. Sources: developers.hubspot.com "Webhooks API guide
// (2026-03)" (legacy public apps alone have this API, an app has one target URL),
// "Configure webhooks" (projects), the models of @hubspot/api-client 13.5.0. The API
// takes a developer key in its URL or a token in a header; only the latter is used
// here, since URLs end up in logs. That a client's own token is enough is not confirmed.
const mostConcurrent = 10

var _ source.Subscriber = hubspot{}

// wanted is one subscription that the timeline is made of.
type wanted struct{ vendor, property string }

func (w wanted) String() string {
	if w.property == "" {
		return w.vendor
	}
	return w.vendor + " (" + w.property + ")"
}

// wantedSubscriptions gives them, companies first.
func wantedSubscriptions() (all []wanted) {
	for _, o := range objects {
		for _, action := range []string{"creation", "deletion", actionMerge, "restore", actionAssociation} {
			all = append(all, wanted{o.thing + "." + action, ""})
		}
		all = append(all, wanted{o.thing + "." + actionProperty, o.staged})
	}
	return append(all, wanted{thingCompany + "." + actionProperty, "domain"}, wanted{thingContact + "." + actionProperty, "email"}, wanted{thingContact + ".privacyDeletion", ""})
}

// Steps implements source.Connector.
func (hubspot) Steps(address string) []source.Step {
	return []source.Step{
		{Text: "An app of the developer platform: put this file into your project as src/app/webhooks/webhooks-hsmeta.json and upload it (hs project upload). Its scopes are those to read companies, contacts, deals and tickets.", Paste: projectFile(address)},
		{Text: "A legacy app instead: open it, Webhooks, enter this target URL and subscribe to creation, deletion, merge, restore and association changes of companies, contacts, deals and tickets, and to changes of lifecyclestage, dealstage, hs_pipeline_stage, domain and email.", Paste: address},
		{Text: "Install the app into your account, and give its client secret (Auth) to the receiver: THROUGHLINE_HUBSPOT_SECRETS. Set THROUGHLINE_HUBSPOT_PUBLIC_URL to the address's host: the signature covers it."},
		{Text: "For the past and for whose objects are: THROUGHLINE_HUBSPOT_API_KEY is the app's access token, or a service key, with the scopes crm.objects.companies.read, crm.objects.contacts.read, crm.objects.deals.read and tickets."},
	}
}

// projectFile is the webhooks component of a project.
func projectFile(address string) string {
	subscriptions := []map[string]any{}
	events := []map[string]any{}
	for _, w := range wantedSubscriptions() {
		s := map[string]any{"subscriptionType": w.vendor, "active": true}
		if w.property != "" {
			s["propertyName"] = w.property
		}
		if strings.HasSuffix(w.vendor, ".privacyDeletion") {
			events = append(events, s)
			continue
		}
		subscriptions = append(subscriptions, s)
	}
	text, _ := json.MarshalIndent(map[string]any{ // of texts alone
		"uid": "webhooks", "type": "webhooks", "config": map[string]any{
			"settings":      map[string]any{"targetUrl": address, "maxConcurrentRequests": mostConcurrent},
			"subscriptions": map[string]any{"legacyCrmObjects": subscriptions, "hubEvents": events},
		},
	}, "", "  ")
	return string(text)
}

// Look implements source.Subscriber, for the app of Options.AppID.
func (h hubspot) Look(ctx context.Context, api source.Doer, address string) (source.Subscriptions, error) {
	var s source.Subscriptions
	if h.o.AppID == "" {
		s.Notes = append(s.Notes, "Which app it is, THROUGHLINE_HUBSPOT_API_APP says for a legacy public app; subscriptions of all others are seen in HubSpot alone (connect --steps).")
		return s, nil
	}
	target, err := h.target(ctx, api)
	if err != nil {
		return s, err
	}
	all, err := h.subscriptions(ctx, api)
	if err != nil {
		return s, err
	}
	if target != "" && target != address {
		s.Notes = append(s.Notes, "The app sends to "+shownURL(target)+", and an app has one target URL: change it at HubSpot, if that is not in use.")
		return s, nil
	}
	have := map[wanted]bool{}
	for _, one := range all {
		have[one.wanted] = true
		s.Have = append(s.Have, source.Subscription{ID: one.id, Enabled: one.active, Types: []string{one.String()}})
		if !one.active && slices.Contains(wantedSubscriptions(), one.wanted) {
			s.Changes = append(s.Changes, source.SubscriptionChange{ID: one.id, Text: "activate the subscription " + one.id + " to " + one.String(), Types: []string{one.String()}})
		}
	}
	var missing []string
	for _, w := range wantedSubscriptions() {
		if !have[w] {
			missing = append(missing, w.String())
		}
	}
	if len(missing) > 0 {
		text := fmt.Sprintf("subscribe to %d types", len(missing))
		if target == "" {
			text = "let the app send to this address, and " + text
		}
		s.Changes = append(s.Changes, source.SubscriptionChange{Text: text, Types: missing})
	}
	s.Notes = append(s.Notes, "HubSpot's API does not show whether deliveries fail: the app's page has them under Monitoring → Webhooks.")
	return s, nil
}

// Change implements source.Subscriber. What is subscribed to already when an error comes
// stays so: Look names what is left. HubSpot shows no secret.
func (h hubspot) Change(ctx context.Context, api source.Doer, address string, change source.SubscriptionChange) (string, error) {
	if change.ID != "" {
		_, err := send(ctx, api, http.MethodPatch, h.app("subscriptions/"+url.PathEscape(change.ID)), map[string]any{"active": true})
		return "", wrapped(err, "activating a subscription")
	}
	target, err := h.target(ctx, api)
	switch {
	case err != nil:
		return "", err
	case target != "" && target != address:
		return "", fault.Permanent(fault.Conflict, errors.New("the app sends to another address now"))
	case target == "":
		_, err := send(ctx, api, http.MethodPut, h.app("settings"), map[string]any{"targetUrl": address, "throttling": map[string]any{"maxConcurrentRequests": mostConcurrent, "period": "SECONDLY"}})
		if err != nil {
			return "", wrapped(err, "setting the target URL")
		}
	}
	for _, w := range wantedSubscriptions() {
		if !slices.Contains(change.Types, w.String()) {
			continue
		}
		body := map[string]any{"eventType": w.vendor, "active": true}
		if w.property != "" {
			body["propertyName"] = w.property
		}
		if _, err := send(ctx, api, http.MethodPost, h.app("subscriptions"), body); err != nil {
			return "", wrapped(err, "subscribing to "+w.String())
		}
	}
	return "", nil
}

func wrapped(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (h hubspot) app(what string) string {
	return "/webhooks/" + h.version() + "/" + h.o.AppID + "/" + what
}

// target gives where the app sends to, or "".
func (h hubspot) target(ctx context.Context, api source.Doer) (string, error) {
	a, err := get(ctx, api, h.app("settings"))
	switch {
	case a.status == http.StatusNotFound:
		return "", nil
	case err != nil:
		return "", wrapped(err, "reading the app's webhook settings")
	}
	return a.top.Get("targetUrl").Text(), nil
}

// subscription is one of the app's.
type subscription struct {
	wanted
	id     string
	active bool
}

func (h hubspot) subscriptions(ctx context.Context, api source.Doer) ([]subscription, error) {
	a, err := get(ctx, api, h.app("subscriptions"))
	if err != nil {
		return nil, wrapped(err, "reading the app's subscriptions")
	}
	results := a.top.Get("results")
	if results.Kind() != rawjson.Array {
		return nil, lie(errors.New("the answer has no array of subscriptions"))
	}
	var all []subscription
	for _, r := range results.Elements() {
		one := subscription{wanted{r.Get("eventType").Text(), r.Get("propertyName").Text()}, id(r.Get("id")), r.Get("active").Bool()}
		if !isID(one.id) || one.vendor == "" {
			return nil, lie(errors.New("a subscription has no id or no eventType"))
		}
		all = append(all, one)
	}
	return all, nil
}

// shownURL gives a URL without what may be secret in it.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "another place"
	}
	return u.Scheme + "://" + u.Host + u.Path
}
