package stripe

import (
	"iter"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Split implements source.Webhook: Stripe posts one event at a time.
func (stripe) Split(d *source.Delivery) iter.Seq2[source.Part, error] { return source.Parts(d, 1) }

// List implements source.Lister: every list of Stripe's API is
// {"object":"list","data":[…]}. Source: docs.stripe.com/api/pagination.
func (stripe) List(page rawjson.Value) (elements rawjson.Value, ok bool) {
	elements = page.Get("data")
	return elements, page.Get("object").Is("list") && elements.Kind() == rawjson.Array
}
