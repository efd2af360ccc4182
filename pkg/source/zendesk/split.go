package zendesk

import (
	"iter"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Split yields the one event of a delivery. A trigger's own JSON is yielded too:
// Describe refuses it, so that it waits in quarantine instead of being lost.
func (zendesk) Split(d *source.Delivery) iter.Seq2[source.Part, error] { return source.Parts(d, 1) }
