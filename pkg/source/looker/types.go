package looker

import "github.com/throughline-dev/throughline/pkg/source"

const (
	typeReported = "usage.reported"
	typeQuery    = "query.ran"
)

// activity is one row of the table of System Activity's event names.
type activity struct{ name, event string }

// activities names what System Activity's event.name says. create_dashboard is
// in Google's documentation; the others are names seen in instances. Any other
// name passes through source.TypeName.
var activities = []activity{
	{"create_dashboard", "dashboard.created"},
	{"update_dashboard", "dashboard.updated"},
	{"delete_dashboard", "dashboard.deleted"},
	{"create_look", "look.created"},
	{"update_look", "look.updated"},
	{"delete_look", "look.deleted"},
	{"create_user", "user.created"},
	{"update_user", "user.updated"},
	{"disable_user", "user.disabled"},
	{"login", "user.logged_in"},
	{"logout", "user.logged_out"},
	{"export_query", "query.exported"},
	{"create_schedule", "schedule.created"},
	{"run_schedule", "schedule.ran"},
}

// activityType names a System Activity event.
func activityType(name string) string {
	for _, a := range activities {
		if a.name == name {
			return a.event
		}
	}
	return source.TypeName(name)
}

// eventTypes is all that this source names, as the documentation shows it.
func eventTypes() []source.EventType {
	out := []source.EventType{
		{Vendor: "scheduled plan, a row", Type: typeReported},
		{Vendor: "System Activity, history row", Type: typeQuery},
	}
	for _, a := range activities {
		out = append(out, source.EventType{Vendor: "System Activity, event " + a.name, Type: a.event})
	}
	return out
}
