package intercom

import (
	"iter"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// ping is the topic of Intercom's test and heartbeat, which every subscription
// gets: it tells nothing, and its id is null.
const ping = "ping"

// Split yields a delivery's one notification; a ping has none.
func (intercom) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	return func(yield func(source.Part, error) bool) {
		for part, err := range source.Parts(d, 1) {
			if err == nil && part.Object.Get("topic").Is(ping) {
				continue
			}
			if !yield(part, err) || err != nil {
				return
			}
		}
	}
}

// List implements source.Lister. A list of the API says what it is and names its
// elements after that; most are plain lists of data. Source: the lists of
// intercom/Intercom-OpenAPI, descriptions/2.16, and, for the older names, 1.x.
func (intercom) List(page rawjson.Value) (elements rawjson.Value, ok bool) {
	member := ""
	switch string(page.Get("type").TextBytes()) {
	case "list":
		member = "data"
	case "conversation.list":
		member = "conversations"
	case "ticket.list":
		member = "tickets"
	case "contact.list":
		member = "contacts"
	case "company.list":
		member = "companies"
	}
	elements = page.Get(member)
	if !elements.Exists() {
		elements = page.Get("data")
	}
	return elements, member != "" && elements.Kind() == rawjson.Array
}
