package standardwebhooks

import (
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe implements source.Source: all is where the mapping says.
func (n *named) Describe(r source.Record) (source.Event, error) {
	id, err := n.mapping.Identity(r.Object)
	if err != nil {
		return source.Event{}, err
	}
	return n.mapping.Describe(n.name, id, r, rawjson.Pointer)
}
