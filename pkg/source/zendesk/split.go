package zendesk

import (
	"iter"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Split yields the one event of a delivery. A trigger's own JSON is yielded too:
// Describe refuses it, so that it waits in quarantine instead of being lost.
func (zendesk) Split(d *source.Delivery) iter.Seq2[source.Part, error] { return source.Parts(d, 1) }

// lists are the names under which Zendesk's API gives its lists.
// Source: developer.zendesk.com/api-reference/ticketing/introduction/, "List".
var lists = []string{"events", "tickets", "users", "organizations", "comments", "audits", "results"}

// List implements source.Lister. An event, which has a type, is no list.
func (zendesk) List(page rawjson.Value) (rawjson.Value, bool) {
	if page.Get("type").Exists() {
		return rawjson.Value{}, false
	}
	for _, name := range lists {
		if list := page.Get(name); list.Kind() == rawjson.Array {
			return list, true
		}
	}
	return rawjson.Value{}, false
}
