package zendesk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of the webhooks API. Source: developer.zendesk.com/api-reference/webhooks/
// webhooks-api/webhooks (page[size] up to 100; a webhook is of events or of triggers,
// which is conditional_ticket_events, and stays so; the signing secret can be read
// again at any time; invocations of seven days) and /documentation/webhooks/
// creating-and-monitoring-webhooks. Not confirmed: the members status, status_code and
// latest_completed_at of an invocation, and the word for one that the circuit breaker
// kept back; so every status but those of success and of waiting counts as a failure.
const (
	webhooksPath     = "/api/v2/webhooks"
	pageWebhooks     = "100"
	mostWebhookPages = 20
	fromTriggers     = "conditional_ticket_events"
	active           = "active"
)

var _ source.Subscriber = zendesk{}

// triggerBody is what a trigger's or automation's webhook sends: Describe reads it.
// ACCOUNT_ID is for a person to fill in.
const triggerBody = `{
  "type": "ticket.solved",
  "id": "solved-{{ticket.id}}-{{ticket.updated_at_with_timestamp}}",
  "account_id": ACCOUNT_ID,
  "time": "{{ticket.updated_at_with_timestamp}}",
  "subject": "zen:ticket:{{ticket.id}}",
  "detail": {
    "id": "{{ticket.id}}",
    "status": "{{ticket.status}}",
    "requester_id": "{{ticket.requester.id}}",
    "requester_email": "{{ticket.requester.email}}",
    "organization_external_id": "{{ticket.organization.external_id}}"
  }
}`

// Steps implements source.Connector.
func (zendesk) Steps(address string) []source.Step {
	return []source.Step{
		{Text: "Admin Center → Apps and integrations → Actions and webhooks → Webhooks → Create webhook: choose Zendesk events, and the events that `throughline connect zendesk` names with an API key; request method POST, format JSON, and this endpoint.", Paste: address},
		{Text: "Save it, reveal its signing secret, and give that to the receiver: THROUGHLINE_ZENDESK_SECRETS. Press Test webhook only then: before, Zendesk signs with a secret that it publishes, which is refused."},
		{Text: "Only for what events do not tell: a second webhook to the same endpoint that is connected to a trigger or automation, with this body. Put your account's number in for ACCOUNT_ID (any event shows it as account_id), and what happened for ticket.solved and solved-.", Paste: triggerBody},
		{Text: "For backfills and to look at webhooks: Admin Center → Apps and integrations → APIs → Zendesk API → add an API token. THROUGHLINE_ZENDESK_API_KEY=EMAIL/token:TOKEN, of an administrator; THROUGHLINE_ZENDESK_API_URL=https://SUBDOMAIN.zendesk.com; THROUGHLINE_ZENDESK_TENANT=the account's number."},
	}
}

// webhook is one of the account's.
type webhook struct {
	id, endpoint, format, method string
	active                       bool
	types                        []string
}

// Look implements source.Subscriber: all webhooks, and how the deliveries of those to
// the address went in the last days.
func (zendesk) Look(ctx context.Context, api source.Doer, address string) (source.Subscriptions, error) {
	all, err := webhooks(ctx, api)
	if err != nil {
		return source.Subscriptions{}, fmt.Errorf("asking for webhooks: %w", err)
	}
	var s source.Subscriptions
	var ours []webhook
	for _, w := range all {
		if !sameAddress(w.endpoint, address) {
			continue
		}
		have, note, err := look(ctx, api, w)
		if err != nil {
			return source.Subscriptions{}, fmt.Errorf("asking how deliveries went: %w", err)
		}
		s.Have = append(s.Have, have)
		if note != "" {
			s.Notes = append(s.Notes, note)
		}
		if slices.Contains(w.types, fromTriggers) {
			s.Notes = append(s.Notes, fmt.Sprintf("%s is called by triggers or automations: whether any calls it, and with which body, is to be seen at Zendesk.", w.id))
			continue
		}
		ours = append(ours, w)
	}
	s.Changes = changes(ours)
	if len(ours) > 1 {
		s.Notes = append(s.Notes, "Several webhooks send events to this address: each event comes as often, and is one row all the same.")
	}
	return s, nil
}

// Change implements source.Subscriber. A new webhook's secret can be read at Zendesk
// again, too.
func (zendesk) Change(ctx context.Context, api source.Doer, address string, change source.SubscriptionChange) (string, error) {
	given := map[string]any{"status": active, "subscriptions": change.Types}
	if change.ID != "" {
		_, err := send(ctx, api, "PATCH", webhooksPath+"/"+url.PathEscape(change.ID), given)
		return "", err
	}
	given["name"], given["endpoint"], given["http_method"], given["request_format"] = "Throughline", address, "POST", "json"
	made, err := send(ctx, api, "POST", webhooksPath, given)
	if err != nil {
		return "", err
	}
	id := made.At("webhook", "id").Text()
	if id == "" {
		return "", fault.Permanent(fault.Malformed, fmt.Errorf("the webhook was made, but the answer has no id: look at it at Zendesk"))
	}
	answer, _, err := get(ctx, api, webhooksPath+"/"+url.PathEscape(id)+"/signing_secret", nil)
	secret := answer.At("signing_secret", "secret").Text()
	if err != nil || secret == "" {
		return "", fault.Permanent(fault.Malformed, fmt.Errorf("the webhook %s was made, but its signing secret does not come: reveal it at Zendesk", id))
	}
	return secret, nil
}

func send(ctx context.Context, api source.Doer, method, path string, given map[string]any) (rawjson.Value, error) {
	body, err := json.Marshal(map[string]any{"webhook": given})
	if err != nil {
		return rawjson.Value{}, fault.Permanent(fault.Malformed, fmt.Errorf("changing a webhook: %w", err))
	}
	answer, _, err := request(ctx, api, method, path, nil, body)
	if err != nil {
		return rawjson.Value{}, fmt.Errorf("changing a webhook: %w", err)
	}
	return answer, nil
}

// webhooks gives all of the account.
func webhooks(ctx context.Context, api source.Doer) (all []webhook, err error) {
	ask := url.Values{"page[size]": {pageWebhooks}}
	for range mostWebhookPages {
		answer, _, err := get(ctx, api, webhooksPath, ask)
		if err != nil {
			return nil, err
		}
		list := answer.Get("webhooks")
		if list.Kind() != rawjson.Array {
			return nil, lie("the answer has no array webhooks")
		}
		for _, v := range list.Elements() {
			w := webhook{id: v.Get("id").Text(), endpoint: v.Get("endpoint").Text(), active: v.Get("status").Is(active), method: v.Get("http_method").Text(), format: v.Get("request_format").Text()}
			for _, t := range v.Get("subscriptions").Elements() {
				w.types = append(w.types, t.Text())
			}
			if w.id == "" || w.endpoint == "" {
				return nil, lie("the answer has an element that is no webhook")
			}
			all = append(all, w)
		}
		after := answer.At("meta", "after_cursor").Literal()
		switch {
		case !answer.At("meta", "has_more").Bool():
			return all, nil
		case after == "" || after == ask.Get("page[after]"):
			return nil, lie("the list of webhooks says that there are more, and does not go on")
		}
		ask.Set("page[after]", after)
	}
	return nil, fault.Permanent(fault.Malformed, fmt.Errorf("the list of webhooks has not ended after %d pages", mostWebhookPages))
}

// look gives a webhook as it is at Zendesk.
func look(ctx context.Context, api source.Doer, w webhook) (s source.Subscription, note string, err error) {
	s = source.Subscription{ID: w.id, Enabled: w.active, Types: w.types}
	answer, _, err := get(ctx, api, webhooksPath+"/"+url.PathEscape(w.id)+"/invocations", url.Values{"page[size]": {pageWebhooks}})
	switch {
	case err != nil && fault.IsPermanent(err) && fault.ReasonOf(err) != fault.Unauthenticated:
		return s, fmt.Sprintf("How deliveries of %s went cannot be read with this key.", w.id), nil
	case err != nil:
		return s, "", err
	}
	failed, counted, last := 0, 0, ""
	for _, v := range answer.Get("invocations").Elements() {
		if at, err := source.ParseTime(v.Get("latest_completed_at").Text()); err == nil && at.After(s.LastDelivery) {
			s.LastDelivery = at
		}
		counted++
		switch status := v.Get("status").Text(); {
		case slices.Contains([]string{"success", "successful", "pending", "retrying"}, strings.ToLower(status)):
		default:
			if failed++; last == "" && isWord(status) {
				if last = status; text(v.Get("status_code")) != "" {
					last += ", HTTP " + text(v.Get("status_code"))
				}
			}
		}
	}
	if failed > 0 {
		s.Failing = fmt.Sprintf("%d of the last %d deliveries failed (the newest of them: %s)", failed, counted, last)
	}
	if w.method != "POST" || w.format != "json" {
		note = fmt.Sprintf("%s sends with %s in the format %s: the receiver takes POST and json only.", w.id, w.method, w.format)
	}
	return s, note, nil
}

// expected are the events that tell a customer's story.
// Zendesk does not document which may be subscribed to together.
func expected() (vendor []string) {
	for _, t := range types() {
		vendor = append(vendor, t.Vendor)
	}
	return vendor
}

// changes gives a new webhook where there is none, and else what the best of them lacks.
func changes(ours []webhook) []source.SubscriptionChange {
	if len(ours) == 0 {
		return []source.SubscriptionChange{{Text: "create a webhook for all events of tickets, users and organizations", Types: expected(), Secret: true}}
	}
	best := ours[0]
	for _, w := range ours {
		if w.active && !best.active {
			best = w
		}
	}
	var missing, does []string
	for _, t := range expected() {
		if !slices.Contains(best.types, t) {
			missing = append(missing, t)
		}
	}
	if !best.active {
		does = append(does, fmt.Sprintf("activate %s, which is inactive", best.id))
	}
	if len(missing) > 0 {
		does = append(does, fmt.Sprintf("add %d events to %s", len(missing), best.id))
	}
	if len(does) == 0 {
		return nil
	}
	return []source.SubscriptionChange{{ID: best.id, Text: strings.Join(does, ", and "), Types: slices.Concat(best.types, missing)}}
}

func sameAddress(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && x.Scheme == y.Scheme && strings.EqualFold(x.Host, y.Host) && x.RequestURI() == y.RequestURI()
}
