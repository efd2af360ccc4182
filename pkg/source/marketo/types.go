package marketo

import (
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

// naming is one row of the tables below: the vendor's number or words, and ours.
type naming struct{ id, title, event string }

// activities names the standard activity types, as an instance's own
// activities/types.json lists them. Adobe's guide shows 1, 2, 12, 13, 37 and 104;
// the others are the same in the instances whose answers are public.
var activities = []naming{
	{"1", "Visit Webpage", "webpage.visited"},
	{"2", "Fill Out Form", "form.filled"},
	{"3", "Click Link", "link.clicked"},
	{"6", "Send Email", "email.sent"},
	{"7", "Email Delivered", "email.delivered"},
	{"8", "Email Bounced", "email.bounced"},
	{"9", "Unsubscribe Email", "email.unsubscribed"},
	{"10", "Open Email", "email.opened"},
	{"11", "Click Email", "email.clicked"},
	{"12", "New Lead", "lead.created"},
	{"13", "Change Data Value", "lead.changed"},
	{"22", "Change Score", "score.changed"},
	{"24", "Add to List", "list.added"},
	{"25", "Remove from List", "list.removed"},
	{"32", "Merge Leads", "lead.merged"},
	{"37", "Delete Lead", "lead.deleted"},
	{"46", "Interesting Moment", "moment.recorded"},
	{"104", "Change Status in Progression", "program.status.changed"},
	{"110", "Call Webhook", "webhook.called"},
}

// triggers names what {{trigger.Trigger Name}} gives. The e-mail, form and page
// triggers stand so in "Trigger Tokens for Interesting Moments"; the others are
// the triggers' names in the product.
var triggers = []naming{
	{"fills out form", "Fills Out Form", "form.filled"},
	{"visits web page", "Visits Web Page", "webpage.visited"},
	{"clicks link on web page", "Clicks Link on Web Page", "link.clicked"},
	{"clicks link in email", "Clicks Link in Email", "email.clicked"},
	{"opens email", "Opens Email", "email.opened"},
	{"email is delivered", "Email Is Delivered", "email.delivered"},
	{"email bounces hard", "Email Bounces Hard", "email.bounced"},
	{"email bounces soft", "Email Bounces Soft", "email.bounced"},
	{"unsubscribes from email", "Unsubscribes from Email", "email.unsubscribed"},
	{"person is created", "Person is Created", "lead.created"},
	{"lead is created", "Lead is Created", "lead.created"},
	{"data value changes", "Data Value Changes", "lead.changed"},
	{"score is changed", "Score is Changed", "score.changed"},
	{"added to list", "Added to List", "list.added"},
	{"removed from list", "Removed from List", "list.removed"},
	{"program status is changed", "Program Status is Changed", "program.status.changed"},
	{"has interesting moment", "Has Interesting Moment", "moment.recorded"},
}

// activityType names an activity type; one without a name is activity.<number>.
func activityType(id string) string {
	for _, a := range activities {
		if a.id == id {
			return a.event
		}
	}
	return source.TypeName("activity." + id)
}

// callType names a call: by the template's own type, else by the trigger.
func callType(given, trigger string) string {
	if given != "" {
		return source.TypeName(given)
	}
	if trigger == "" {
		return "webhook.called"
	}
	words := strings.ToLower(strings.Join(strings.Fields(trigger), " "))
	for _, t := range triggers {
		if t.id == words {
			return t.event
		}
	}
	return source.TypeName(trigger)
}

// eventTypes is both tables as the documentation shows them.
func eventTypes() []source.EventType {
	var out []source.EventType
	for _, a := range activities {
		out = append(out, source.EventType{Vendor: "activity " + a.id + " (" + a.title + ")", Type: a.event})
	}
	for _, t := range triggers {
		out = append(out, source.EventType{Vendor: "flow step, trigger " + t.title, Type: t.event})
	}
	return append(out, source.EventType{Vendor: "flow step without trigger name", Type: "webhook.called"})
}
