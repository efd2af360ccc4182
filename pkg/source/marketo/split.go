package marketo

import (
	"iter"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Split implements source.Webhook: a call's body whole, each element of a page
// of the API, or each element of an array of either. An error answer of the API
// is refused.
func (m marketo) Split(d *source.Delivery) iter.Seq2[source.Part, error] {
	top, err := d.JSON()
	if success := top.Get("success"); err == nil && success.Kind() == rawjson.Bool && !success.Bool() {
		return func(yield func(source.Part, error) bool) { yield(source.Part{}, apiError(top)) }
	}
	most := m.Profile().Limits.Events
	if elements, ok := m.List(top); ok {
		return source.Elements(elements, most)
	}
	return source.Parts(d, most)
}

// List implements source.Lister: activities.json, leadchanges.json and
// deletedleads.json give {"requestId":…,"success":true,"result":[…]}. Few or no
// results are usual while moreResult is true, and then result may be missing.
func (marketo) List(page rawjson.Value) (elements rawjson.Value, ok bool) {
	if !page.Get("success").Bool() {
		return rawjson.Value{}, false
	}
	elements = page.Get("result")
	if !elements.Exists() && page.Get("requestId").Exists() {
		elements, _ = new(rawjson.Doc).ParseBody([]byte("[]"), 0)
	}
	return elements, elements.Kind() == rawjson.Array
}

// apiError says what an answer with success:false is. Marketo sends them with
// HTTP 200, so a job that does not look will publish them.
func apiError(answer rawjson.Value) error {
	var first rawjson.Value
	for _, first = range answer.Get("errors").Elements() {
		break
	}
	return source.Malformed("this is an error answer of Marketo's API (code %.20q: %.80q), not events: make the call again",
		first.Get("code").Literal(), first.Get("message").Text())
}
