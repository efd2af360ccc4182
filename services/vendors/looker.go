package vendors

// lookerVendor: the rows of a scheduled Look ("JSON — Simple": the rows as a text), and
// rows of System Activity.
// Shapes: looker-open-source/actions docs/action_api.md; Google's pages on System
// Activity Explores.
func lookerVendor() *vendor {
	v := &vendor{name: "looker", tenant: "acme.looker.com", kinds: map[string]string{
		"account": "number account 4000 33", "group": "id acct- 11", "user": "number user 70 33",
	}}
	v.forms = []*form{
		{vendor: "scheduled plan, a row", file: "row", batch: "plan"},
		{vendor: "System Activity, history row", file: "history", batch: "rows"},
	}
	for _, a := range []struct{ name, category string }{
		{"create_dashboard", "dashboard"}, {"update_dashboard", "dashboard"}, {"delete_dashboard", "dashboard"},
		{"create_look", "look"}, {"update_look", "look"}, {"delete_look", "look"},
		{"create_user", "user"}, {"update_user", "user"}, {"disable_user", "user"},
		{"login", "session"}, {"logout", "session"}, {"export_query", "query"},
		{"create_schedule", "schedule"}, {"run_schedule", "schedule"},
	} {
		v.forms = append(v.forms, &form{vendor: "System Activity, event " + a.name, file: "activity", batch: "rows", vars: parts("name", a.name, "category", a.category)})
	}
	return v
}
