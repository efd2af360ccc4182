package looker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

var _ source.Subscriber = looker{}

// Steps implements source.Connector.
func (looker) Steps(address string) []source.Step {
	return []source.Step{
		{Text: "Admin → Webhooks shows the instance's webhook token: THROUGHLINE_LOOKER_SECRETS takes it. THROUGHLINE_LOOKER_TENANT, for every service, is the instance's host, like acme.cloud.looker.com."},
		{Text: "Open a Look or an Explore that has one row for each thing that happened or each account and day, with a column of the account (accounts.uuid, accounts.id, users.email) and one of the time (…_date, …_time)."},
		{Text: "Gear menu → Send or Schedule: the destination Webhook, this address, the format JSON — Simple; under Advanced options all results, and no formatting of values.", Paste: address},
		{Text: "Save it, and choose Send now (or Test) once: the schedule's history shows the answer, success or why it was refused."},
		{Text: "For System Activity and for learning: Admin → Users → a user with the permission see_system_activity → API keys → New. Its id and secret, with a colon between, are THROUGHLINE_LOOKER_API_KEY; THROUGHLINE_LOOKER_API_URL is the instance's API host, like https://acme.cloud.looker.com."},
	}
}

// Look implements source.Subscriber: the scheduled plans of all users that send to the
// address. A plan is somebody's report, so that none is changed here.
func (looker) Look(ctx context.Context, api source.Doer, address string) (source.Subscriptions, error) {
	plans, err := ask(ctx, api, http.MethodGet, "/scheduled_plans?all_users=true&fields="+url.QueryEscape("id,title,enabled,last_run_at,scheduled_plan_destination"), nil)
	if err != nil {
		return source.Subscriptions{}, err
	}
	if plans.Kind() != rawjson.Array {
		return source.Subscriptions{}, lie(errors.New("the answer is no array of scheduled plans"))
	}
	var s source.Subscriptions
	for _, plan := range plans.Elements() {
		for _, to := range plan.Get("scheduled_plan_destination").Elements() {
			if !to.Get("type").Is("webhook") || strings.TrimRight(to.Get("address").Text(), "/") != strings.TrimRight(address, "/") {
				continue
			}
			id, format := plan.Get("id").Literal(), to.Get("format").Text()
			have := source.Subscription{ID: id, Enabled: plan.Get("enabled").Bool(), Types: []string{typeReported}}
			if at, err := source.ParseTime(plan.Get("last_run_at").Literal()); err == nil {
				have.LastDelivery = at
			}
			s.Have = append(s.Have, have)
			switch format {
			case "inline_json", "json", "json_label", "json_detail", "inline_json_detail", "csv", "csv_zip":
			default:
				s.Notes = append(s.Notes, fmt.Sprintf("Plan %s sends %.20q, of which no rows can be read: choose JSON — Simple in its schedule.", id, format))
			}
			if !have.Enabled {
				s.Notes = append(s.Notes, fmt.Sprintf("Plan %s is switched off: its owner, or an administrator, switches it on.", id))
			}
		}
	}
	if len(s.Have) == 0 {
		s.Notes = append(s.Notes, "No scheduled plan that this key may see sends to this address: --steps says how to make one.")
	}
	s.Notes = append(s.Notes, "Looker does not show whether a plan's deliveries fail: its history does (Admin → Schedule History).")
	return s, nil
}

// Change implements source.Subscriber: there is nothing that Look would change.
func (looker) Change(context.Context, source.Doer, string, source.SubscriptionChange) (string, error) {
	return "", fault.Permanent(fault.Unsupported, errors.New("a scheduled plan is changed by its owner"))
}
