package web

import (
	"strings"
	"time"
)

// keyTable is what `?` shows; assets/app.js does it.
var keyTable = []struct{ key, does string }{
	{"?", "this table"},
	{"⌘K or Ctrl K", "search, or go to a view or an account"},
	{"/", "to the search field of the page, else the search"},
	{"j", "next row"},
	{"k", "row before"},
	{"Enter", "open the row"},
	{"Esc", "close what is open, else back to the list"},
	{"x", "select the row"},
	{"Shift x", "select from the last selected row to this one"},
	{"e", "unfold or fold all of a payload"},
	{"l", "link what the row waits for (quarantine)"},
	{"r", "release the selected records (quarantine)"},
	{"p", "pause or go on (live)"},
	{"u", "times in UTC or in your zone"},
	{"g h", "go home; g a accounts, g t live tail, g q quarantine, g l links, g j jobs, g d drift, g w alerts, g s sources"},
}

// localZone is the zone that the switch sets: the page's, or what the browser says (app.js writes it).
func localZone(p *page) string { return p.zone.String() }

func localTitle(p *page) string {
	if p.zone == time.UTC {
		return "Times in this browser's zone"
	}
	return p.zone.String()
}

// personOf is who acts without what kind of actor it is.
func personOf(who string) string {
	if _, name, ok := strings.Cut(who, ":"); ok {
		return name
	}
	if who == "" {
		return "nobody"
	}
	return who
}
