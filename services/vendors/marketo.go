package vendors

import "strings"

// marketoVendor: calls of a flow step, made by the template of the source's README, and
// pages of the activities API.
// Shapes: Adobe's Marketo developer guide (webhooks; activities) and "System
// Tokens Glossary".
func marketoVendor() *vendor {
	v := &vendor{name: "marketo", tenant: "123-ABC-456", kinds: map[string]string{"lead": "number lead 5000000 33"}}
	for _, trigger := range []string{
		"Fills Out Form", "Visits Web Page", "Clicks Link on Web Page", "Clicks Link in Email", "Opens Email", "Email Is Delivered",
		"Email Bounces Hard", "Email Bounces Soft", "Unsubscribes from Email", "Person is Created", "Lead is Created", "Data Value Changes",
		"Score is Changed", "Added to List", "Removed from List", "Program Status is Changed", "Has Interesting Moment",
	} {
		v.forms = append(v.forms, &form{vendor: "flow step, trigger " + trigger, file: "call", vars: parts("trigger", `, "triggerName": "`+trigger+`"`)})
	}
	v.forms = append(v.forms, &form{vendor: "flow step without trigger name", file: "call", vars: parts("trigger", "")})
	for _, a := range marketoActivities() {
		v.forms = append(v.forms, &form{vendor: "activity " + a.id + " (" + a.title + ")", file: "activity", batch: "page", vars: parts(
			"type", a.id, "primary", "{{subject "+a.primary+"}}", "attributes", a.attributeList(), "fields", a.fields)})
	}
	return v
}

// marketoActivity is one of the standard activity types, with the attributes that
// its instances have, name=value (a JSON value).
type marketoActivity struct{ id, title, primary, attributes, fields string }

func (a marketoActivity) attributeList() string {
	var list []string
	for attribute := range strings.SplitSeq(a.attributes, "; ") {
		if name, value, ok := strings.Cut(attribute, "="); ok {
			list = append(list, `{"name": "`+name+`", "value": `+value+"}")
		}
	}
	return strings.Join(list, ", ")
}

func marketoActivities() []marketoActivity {
	const (
		web   = `Client IP Address="203.0.113.9"; Query Parameters=""; Referrer URL="https://search.example"; User Agent="Mozilla/5.0"; Webpage URL="/pricing"`
		mail  = `Campaign Run ID=2217; Choice Number=0; Step ID=1`
		read  = mail + `; Device="desktop"; Is Mobile Device=false; Platform="Linux"; User Agent="Mozilla/5.0"`
		value = `, "fields": [{"id": 48, "name": "leadStatus", "newValue": "Working", "oldValue": "New"}]`
	)
	return []marketoActivity{
		{"1", "Visit Webpage", "www.acme.example/pricing", web, ""},
		{"2", "Fill Out Form", "GL_OP.Contact us", web + `; Form Fields="a:1"`, ""},
		{"3", "Click Link", "Pricing", web + `; Link ID=77`, ""},
		{"6", "Send Email", "EM-Pricing", mail, ""},
		{"7", "Email Delivered", "EM-Pricing", mail, ""},
		{"8", "Email Bounced", "EM-Pricing", mail + `; Category="2"; Details="550 5.1.1"; Subcategory="2003"`, ""},
		{"9", "Unsubscribe Email", "EM-Pricing", mail + `; Client IP Address="203.0.113.9"; Webform ID=16`, ""},
		{"10", "Open Email", "EM-Pricing", read, ""},
		{"11", "Click Email", "EM-Pricing", read + `; Link="https://go.acme.example/pricing"; Link ID="1"`, ""},
		{"12", "New Lead", "", `Created Date="{{rfc3339}}"; Form Name="Contact us"; Lead Source="Web"; Source Type="Web form fillout"`, ""},
		{"13", "Change Data Value", "Lead Status", `New Value="Working"; Old Value="New"; Reason="Form fill"; Source="Web form fillout"`, value},
		{"22", "Change Score", "Behaviour Score", `Change Value="+5"; New Value=25; Old Value=20; Reason="Visited pricing"`, ""},
		{"24", "Add to List", "Newsletter", `Source="Flow action"`, ""},
		{"25", "Remove from List", "Newsletter", `Source="Flow action"`, ""},
		{"32", "Merge Leads", "Kim Example", `Master Updated=true; Merge IDs=[{{number merged 900 30}}]; Merge Source="Web"`, ""},
		{"37", "Delete Lead", "Kim Example", `Campaign="Delete dormant people"; Remove from CRM=false`, ""},
		{"46", "Interesting Moment", "Web", `Date="{{rfc3339}}"; Description="Asked for a price"; Source="Campaign"`, ""},
		{"104", "Change Status in Progression", "SuccessWebCPS", `New Status="Attended"; Old Status="Registered"; Program Member ID=3569; Success=true`, ""},
		{"110", "Call Webhook", "Throughline", `Error Type=0; Response="{\"ok\":true}"; Webhook=3`, ""},
	}
}
