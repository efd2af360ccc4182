package intercom

import (
	"iter"

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
